package cluster

import (
	"sync"

	"k8s.io/client-go/tools/cache"
)

// informed tells those who wait that something has changed.
type informed struct {
	mu   sync.Mutex
	next chan struct{}
}

func newInformed() *informed { return &informed{next: make(chan struct{})} }

// change is closed at the next change. To miss none, take it before looking.
func (i *informed) change() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.next
}

// tell says that something has changed.
func (i *informed) tell() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.next)
	i.next = make(chan struct{})
}

// handler tells of every event of an informer, once its cache has it.
func (i *informed) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { i.tell() },
		UpdateFunc: func(any, any) { i.tell() },
		DeleteFunc: func(any) { i.tell() },
	}
}
