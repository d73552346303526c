package auth

// Armed reports whether the source holds an active timer, and stops it.
func Armed(s *Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timer != nil && s.timer.Stop()
}
