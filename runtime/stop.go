package runtime

import "strings"

// stopFilter passes text on up to the first stop text, and holds back an end that might begin one.
type stopFilter struct {
	stops []string
	emit  func(string) error
	held  string
}

// write takes more text and reports whether a stop text was met.
func (f *stopFilter) write(s string) (stopped bool, err error) {
	f.held += s
	first := -1
	for _, stop := range f.stops {
		if i := strings.Index(f.held, stop); stop != "" && i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		f.held = f.held[:first]
		return true, f.flush()
	}
	keep := 0
	for _, stop := range f.stops {
		for n := min(len(stop)-1, len(f.held)); n > keep; n-- {
			if strings.HasSuffix(f.held, stop[:n]) {
				keep = n
			}
		}
	}
	ready := f.held[:len(f.held)-keep]
	f.held = f.held[len(ready):]
	if ready == "" {
		return false, nil
	}
	return false, f.emit(ready)
}

func (f *stopFilter) flush() error {
	s := f.held
	f.held = ""
	if s == "" {
		return nil
	}
	return f.emit(s)
}
