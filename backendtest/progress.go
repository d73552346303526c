package backendtest

import "context"

type progressKey struct{}

type progressFunc func(ctx context.Context, done, total float64, text string) error

// Progress reports a running tool's progress to the client that called it, if
// that client asked for it with a progress token. It makes the answer an event
// stream. Ctx is the context that the tool was given.
func Progress(ctx context.Context, done, total float64, text string) error {
	if send, ok := ctx.Value(progressKey{}).(progressFunc); ok {
		return send(ctx, done, total, text)
	}
	return nil
}
