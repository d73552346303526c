package guard

// WhileLocked runs f while the guard's lock is held.
func (g *Guard[C]) WhileLocked(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}
