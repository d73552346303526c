package wire

// Methods of the protocol.
const (
	MethodInitialize  = "initialize"
	MethodDiscover    = "server/discover"
	MethodPing        = "ping"
	MethodToolsList   = "tools/list"
	MethodToolsCall   = "tools/call"
	MethodPromptsList = "prompts/list"
	MethodPromptsGet  = "prompts/get"
	MethodResources   = "resources/list"
	MethodTemplates   = "resources/templates/list"
	MethodRead        = "resources/read"
	MethodComplete    = "completion/complete"
	MethodListen      = "subscriptions/listen"
	MethodSubscribe   = "resources/subscribe"
	MethodUnsubscribe = "resources/unsubscribe"
	MethodSetLevel    = "logging/setLevel"
	MethodSample      = "sampling/createMessage"
	MethodElicit      = "elicitation/create"
	MethodRoots       = "roots/list"

	NoteInitialized      = "notifications/initialized"
	NoteCancelled        = "notifications/cancelled"
	NoteProgress         = "notifications/progress"
	NoteMessage          = "notifications/message"
	NoteToolsChanged     = "notifications/tools/list_changed"
	NotePromptsChanged   = "notifications/prompts/list_changed"
	NoteResourcesChanged = "notifications/resources/list_changed"
	NoteResourceUpdated  = "notifications/resources/updated"
	NoteRootsChanged     = "notifications/roots/list_changed"
	NoteElicitComplete   = "notifications/elicitation/complete"
	NoteTasksStatus      = "notifications/tasks/status"
	NoteAcknowledged     = "notifications/subscriptions/acknowledged"

	methodTaskGet    = "tasks/get"
	methodTaskResult = "tasks/result"
	methodTaskCancel = "tasks/cancel"
	MethodTasksList  = "tasks/list"
)

// Class says what a method is for, as far as a gateway treats methods alike.
type Class uint8

// The classes of methods.
const (
	ClassUnknown      Class = iota
	ClassHandshake          // initialize, server/discover, ping
	ClassList               // lists of tools, prompts, resources and templates
	ClassCall               // tools/call, resources/read, prompts/get, completion/complete
	ClassListen             // subscriptions/listen: its answer is a standing stream
	ClassState              // changes a session: log level, resource subscriptions, tasks
	ClassClient             // asked by a server: sampling, elicitation, roots
	ClassNotification       // one-way, in either direction
)

// String returns the class in lower case.
func (c Class) String() string {
	switch c {
	case ClassHandshake:
		return "handshake"
	case ClassList:
		return "list"
	case ClassCall:
		return "call"
	case ClassListen:
		return "listen"
	case ClassState:
		return "state"
	case ClassClient:
		return "client"
	case ClassNotification:
		return "notification"
	}
	return "unknown"
}

// methodInfo is one row of the table of methods.
type methodInfo struct {
	class     Class
	nameField string
	since     Revision // empty: since the first
	until     Revision // the last revision that has it; empty: still there
	cacheable bool
}

var methods = map[string]methodInfo{
	MethodInitialize:  {class: ClassHandshake, until: Rev20251125},
	MethodDiscover:    {class: ClassHandshake, since: Rev20260728, cacheable: true},
	MethodPing:        {class: ClassHandshake, until: Rev20251125},
	MethodToolsList:   {class: ClassList, cacheable: true},
	MethodPromptsList: {class: ClassList, cacheable: true},
	MethodResources:   {class: ClassList, cacheable: true},
	MethodTemplates:   {class: ClassList, cacheable: true},
	MethodToolsCall:   {class: ClassCall, nameField: "name"},
	MethodPromptsGet:  {class: ClassCall, nameField: "name"},
	MethodRead:        {class: ClassCall, nameField: "uri", cacheable: true},
	MethodComplete:    {class: ClassCall},
	MethodListen:      {class: ClassListen, since: Rev20260728},
	MethodSubscribe:   {class: ClassState, until: Rev20251125},
	MethodUnsubscribe: {class: ClassState, until: Rev20251125},
	MethodSetLevel:    {class: ClassState, until: Rev20251125},
	methodTaskGet:     {class: ClassState, since: Rev20251125, until: Rev20251125},
	methodTaskResult:  {class: ClassState, since: Rev20251125, until: Rev20251125},
	methodTaskCancel:  {class: ClassState, since: Rev20251125, until: Rev20251125},
	MethodTasksList:   {class: ClassState, since: Rev20251125, until: Rev20251125},
	MethodSample:      {class: ClassClient, until: Rev20251125},
	MethodElicit:      {class: ClassClient, since: Rev20250618, until: Rev20251125},
	MethodRoots:       {class: ClassClient, until: Rev20251125},

	NoteInitialized:      {class: ClassNotification, until: Rev20251125},
	NoteCancelled:        {class: ClassNotification},
	NoteProgress:         {class: ClassNotification},
	NoteMessage:          {class: ClassNotification},
	NoteToolsChanged:     {class: ClassNotification},
	NotePromptsChanged:   {class: ClassNotification},
	NoteResourcesChanged: {class: ClassNotification},
	NoteResourceUpdated:  {class: ClassNotification},
	NoteRootsChanged:     {class: ClassNotification, until: Rev20251125},
	NoteElicitComplete:   {class: ClassNotification, since: Rev20251125, until: Rev20251125},
	NoteTasksStatus:      {class: ClassNotification, since: Rev20251125, until: Rev20251125},
	NoteAcknowledged:     {class: ClassNotification, since: Rev20260728},
}

// ClassOf returns the class of a method, ClassUnknown for one that no known
// revision defines.
func ClassOf(method string) Class { return methods[method].class }

// NameField returns the member of params whose value the Mcp-Name header
// mirrors: "name", "uri", or "" when the method has no such header
// (streamable-http, "Standard Request Headers").
func NameField(method string) string { return methods[method].nameField }

// Has reports whether revision r defines the method as a message of its own.
// The requests that a server makes of a client are no messages any more in
// 2026-07-28, where they travel inside results.
func (r Revision) Has(method string) bool {
	m, ok := methods[method]
	return ok && r >= m.since && (m.until == "" || r <= m.until)
}

// Cacheable reports whether a complete result of the method has to carry
// caching hints in 2026-07-28 (server/utilities/caching, "Cacheable Results").
func Cacheable(method string) bool { return methods[method].cacheable }

var (
	completeMembers = []KV{
		{Key: "resultType", Value: []byte(`"complete"`)},
	}
	cacheableMembers = []KV{
		{Key: "resultType", Value: []byte(`"complete"`)},
		{Key: "ttlMs", Value: []byte("0")},
		{Key: "cacheScope", Value: []byte(`"private"`)},
	}
)

// ModernMembers returns what a result of the method lacks when an elder server
// made it and a client of 2026-07-28 gets it: the result type and, where the
// method is [Cacheable], hints that forbid caching. For [RewriteOptions]; the
// slice is shared and must not be changed.
func ModernMembers(method string) []KV {
	if Cacheable(method) {
		return cacheableMembers
	}
	return completeMembers
}

// intern returns the method as a string, without allocating for known ones.
func intern(b []byte) string {
	if m, ok := knownMethods[string(b)]; ok {
		return m
	}
	return string(b)
}

// knownMethods maps each method to its own constant.
var knownMethods = func() map[string]string {
	known := make(map[string]string, len(methods))
	for m := range methods {
		known[m] = m
	}
	return known
}()
