package churn

import "github.com/tcpstate/tcpstate/internal/event"

// OtherFailures stands for the errors of a row beyond the first six different ones.
const OtherFailures event.Error = 0xfffd

// failureKinds is how many different errors a row keeps apart.
const failureKinds = 6

// failures counts connects that failed, by error.
type failures struct {
	total, other uint64
	kinds        [failureKinds]struct {
		err event.Error
		n   uint64
	}
}

func (f *failures) add(err event.Error, n uint64) {
	f.total += n
	if i := f.place(err); i < failureKinds {
		f.kinds[i].err = err
		f.kinds[i].n += n
		return
	}
	f.other += n
}

// place is where err is counted, or will be: an index of kinds, or failureKinds for the others.
func (f *failures) place(err event.Error) int {
	for i := range f.kinds {
		if k := &f.kinds[i]; k.err == err && k.n > 0 || k.n == 0 && err != OtherFailures {
			return i
		}
	}
	return failureKinds
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
