package catalog

// WithPages returns the options with pages that this many bytes fill, so that a
// test needs no megabytes for a second one.
func (o Options) WithPages(size int) Options {
	o.page = size
	return o
}
