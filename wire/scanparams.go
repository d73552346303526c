package wire

// params reads the object of parameters and notes the members that routing
// needs. They are looked for under every method: which of them mean something
// is the caller's knowledge.
func (s *scanner) params() {
	start := s.i
	switch s.at() {
	case '{':
	case 'n':
		s.e.Params = s.value()
		return
	default:
		s.refuse(InvalidRequest, s.i, msgParams)
		s.skip()
		return
	}
	for ok := s.open('}'); ok; ok = s.more('}') {
		key := s.key()
		switch string(key) {
		case "name":
			s.once(seenName, InvalidParams)
			s.e.Name = s.text()
		case "uri":
			s.once(seenURI, InvalidParams)
			s.e.URI = s.text()
		case "arguments":
			s.once(seenArguments, InvalidParams)
			s.e.Arguments = s.value()
		case "_meta":
			s.once(seenMeta, InvalidParams)
			s.meta()
		case "cursor":
			s.once(seenCursor, InvalidParams)
			s.e.Cursor = s.text()
		case "ref":
			s.once(seenRef, InvalidParams)
			s.ref()
		case "requestId":
			s.once(seenRequestID, InvalidParams)
			s.e.RequestID = s.token()
		case "progressToken":
			s.once(seenToken, InvalidParams)
			s.progress = s.token()
		default:
			s.fold(key, paramsMembers)
			s.skip()
		}
	}
	s.e.Params = Span{start, s.i}
}

// meta reads params._meta.
func (s *scanner) meta() {
	start := s.i
	switch s.at() {
	case '{':
	case 'n':
		s.e.Meta = s.value()
		return
	default:
		s.refuse(InvalidParams, s.i, msgMeta)
		s.skip()
		return
	}
	for ok := s.open('}'); ok; ok = s.more('}') {
		switch string(s.key()) {
		case MetaProgressToken:
			s.once(seenMetaToken, InvalidParams)
			s.e.ProgressToken = s.token()
		case MetaProtocolVersion:
			s.once(seenProtocol, InvalidParams)
			s.e.ProtocolVersion = s.text()
		case MetaClientInfo:
			s.once(seenClientInfo, InvalidParams)
			s.e.ClientInfo = s.value()
		case MetaClientCapabilities:
			s.once(seenCapabilities, InvalidParams)
			s.e.ClientCapabilities = s.value()
		case MetaLogLevel:
			s.once(seenLogLevel, InvalidParams)
			s.e.LogLevel = s.text()
		case MetaSubscriptionID:
			s.once(seenSubscription, InvalidParams)
			s.e.SubscriptionID = s.token()
		default:
			s.skip()
		}
	}
	s.e.Meta = Span{start, s.i}
}

// ref reads params.ref, which only completion/complete has.
func (s *scanner) ref() {
	if s.at() != '{' {
		s.skip()
		return
	}
	for ok := s.open('}'); ok; ok = s.more('}') {
		key := s.key()
		switch string(key) {
		case "type":
			s.once(seenRefType, InvalidParams)
			s.e.RefType = s.text()
		case "name":
			s.once(seenRefName, InvalidParams)
			s.e.RefName = s.text()
		case "uri":
			s.once(seenRefURI, InvalidParams)
			s.e.RefURI = s.text()
		default:
			s.fold(key, refMembers)
			s.skip()
		}
	}
}

// fold notes a name that is like a known one. Whether that matters depends on
// the method, which may stand behind.
func (s *scanner) fold(key []byte, known [][]byte) {
	if s.folded == 0 && alike(key, known) {
		s.folded = s.i
	}
}
