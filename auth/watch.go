package auth

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet      = 50 * time.Millisecond // several events belong to one change
	recheck    = 30 * time.Second      // for file systems that send no events
	maxSymlink = 40
)

// watchedValues resolves configured values for a strategy, and is its [Watcher]:
// it tells when the files behind them hold something else.
type watchedValues struct {
	values []Value

	mu    sync.Mutex
	asked bool     // a fetch has tried to read
	noted []Secret // what the first read and each notice since then saw; nil before
}

// resolve reads all values.
func (w *watchedValues) resolve() ([]Secret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	secrets, err := w.readAll()
	if err == nil && w.noted == nil {
		w.noted = secrets
	}
	w.asked = true
	return secrets, err
}

func (w *watchedValues) readAll() ([]Secret, error) {
	secrets := make([]Secret, len(w.values))
	for i, v := range w.values {
		s, err := v.Resolve()
		if err != nil {
			return nil, err
		}
		secrets[i] = s
	}
	return secrets, nil
}

// changed reports, once, that the values differ from those noted. Unreadable and
// empty files are no news: they are being written, or gone, and the credential in
// hand stays good.
//
// It compares with what was noted and not with what a fetch read last: a renewal
// that happens to read a new secret first must not hide the rotation.
func (w *watchedValues) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked {
		return false // the first fetch is still to come, and will see it
	}
	secrets, err := w.readAll()
	if err != nil || slices.ContainsFunc(secrets, Secret.IsZero) {
		return false
	}
	if slices.EqualFunc(secrets, w.noted, Secret.Equal) {
		return false
	}
	w.noted = secrets
	return true
}

func (w *watchedValues) files() []string {
	var all []string
	for _, v := range w.values {
		all = append(all, v.Files()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Watch implements Watcher.
func (w *watchedValues) Watch(ctx context.Context, changed func()) error {
	return WatchFiles(ctx, w.files(), func() { w.tell(changed) })
}

// WatchFiles calls changed at its start, and whenever one of the files may have
// changed, until ctx ends or watching fails; changed has to look for itself. It
// watches the directories of the files, not the files: a file that is replaced is
// another file, and a mounted Kubernetes secret changes by the swap of a symbolic
// link beside it. Changes in quick succession are one, and all files are looked at
// every minute in case the system lost an event.
func WatchFiles(ctx context.Context, files []string, changed func()) error {
	if len(files) == 0 {
		return nil
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		changed() // at least as often as watching is tried
		return fmt.Errorf("file watch: %w", err)
	}
	defer n.Close()
	watched := make(map[string]bool)
	if err := follow(n, watched, files); err != nil {
		changed()
		return err
	}
	changed() // what happened before the watch stood

	slow := time.NewTicker(recheck)
	defer slow.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-n.Events:
			if !ok {
				return fsnotify.ErrClosed
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				// The name may stand for another directory from now on.
				_ = n.Remove(e.Name)
				delete(watched, e.Name)
			}
			if soon == nil {
				soon = time.After(quiet)
			}
			continue
		case _, ok := <-n.Errors: // an overflow: events were lost
			if !ok {
				return fsnotify.ErrClosed
			}
		case <-slow.C:
		case <-soon:
		}
		soon = nil
		if err := follow(n, watched, files); err != nil {
			changed()
			return err
		}
		changed()
	}
}

func (w *watchedValues) tell(changed func()) {
	if w.changed() {
		changed()
	}
}

// follow makes n watch every directory on which the content of the files depends
// now, and no other.
func follow(n *fsnotify.Watcher, watched map[string]bool, files []string) error {
	// What changed between the look and the watch shows in a second look.
	for range 3 {
		wanted := make(map[string]bool)
		for _, f := range files {
			abs, err := filepath.Abs(f)
			if err != nil {
				return fmt.Errorf("file watch: %w", err)
			}
			for _, dir := range directories(abs) {
				wanted[dir] = true
			}
		}
		if maps.Equal(wanted, watched) {
			return nil
		}
		for dir := range watched {
			if !wanted[dir] {
				_ = n.Remove(dir)
				delete(watched, dir)
			}
		}
		for dir := range wanted {
			if watched[dir] {
				continue
			}
			if err := n.Add(dir); err != nil {
				return fmt.Errorf("file watch: %w", err)
			}
			watched[dir] = true
		}
	}
	return nil
}

// directories lists the directories whose entries decide what path leads to: those
// that hold a symbolic link on the way, the one that holds the file, and where the
// way breaks off the last one that exists. Symbolic links are followed by hand,
// since each of them may be swapped.
func directories(path string) []string {
	var dirs []string
	add := func(dir string) {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	const slash = string(filepath.Separator)
	volume := filepath.VolumeName(path)
	here := volume + slash
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), here), slash)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(here, rest[0])
		info, err := os.Lstat(next)
		switch {
		case err != nil || links > maxSymlink:
			add(here)
			return dirs
		case info.Mode()&os.ModeSymlink != 0:
			add(here)
			links++
			target, err := os.Readlink(next)
			if err != nil {
				return dirs
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(here, target)
			}
			target = filepath.Clean(target)
			here = filepath.VolumeName(target) + slash
			rest = append(strings.Split(strings.TrimPrefix(target, here), slash), rest[1:]...)
		case len(rest) == 1:
			add(here)
			return dirs
		default:
			here, rest = next, rest[1:]
		}
	}
	return dirs
}
