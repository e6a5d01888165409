package churn

import "github.com/tcpstate/tcpstate/internal/event"

// OtherFailures stands for the errors of a row beyond the first six different ones.
const OtherFailures event.Error = 0xfffd

// failures counts connects that failed, by error.
type failures struct {
	total, other uint64
	kinds        [6]struct {
		err event.Error
		n   uint64
	}
}

func (f *failures) add(err event.Error, n uint64) {
	f.total += n
	for i := range f.kinds {
		k := &f.kinds[i]
		if k.err == err && k.n > 0 || k.n == 0 {
			k.err = err
			k.n += n
			return
		}
	}
	f.other += n
}

func (f *failures) with(err event.Error) uint64 {
	if err == OtherFailures {
		return f.other
	}
	for i := range f.kinds {
		if f.kinds[i].err == err {
			return f.kinds[i].n
		}
	}
	return 0
}

func (f *failures) each(yield func(event.Error, uint64) bool) {
	for i := range f.kinds {
		if k := &f.kinds[i]; k.n > 0 && !yield(k.err, k.n) {
			return
		}
	}
	if f.other > 0 {
		yield(OtherFailures, f.other)
	}
}
