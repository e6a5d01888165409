package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tcpstate/tcpstate/internal/event"
)

// judge says what is wrong with what was read from a damaged copy of a file with the items want: something that was not
// there, another order, or something missing that nobody told of.
func judge(got, want []Item) error {
	var missing, told, toldFacts, missingFacts uint64
	unknown, ended := false, false
	next := 0
	for _, g := range got {
		switch g.Kind {
		case KindDamage:
			told += g.Damage.EventsMissing
			toldFacts += g.Damage.FactsMissing
			unknown = unknown || g.Damage.Unknown
			continue
		case KindEnd:
			ended = true
			continue
		}
		for ; next < len(want) && !same(g, want[next]); next++ {
			if want[next].Kind == KindEvent {
				missing++
			} else if want[next].Kind != 0 {
				missingFacts++
			}
		}
		if next == len(want) {
			return fmt.Errorf("%+v was never written, or not there", g)
		}
		next++
	}
	for _, w := range want[next:] {
		if w.Kind == KindEvent {
			missing++
		} else if w.Kind != 0 {
			missingFacts++
		}
	}
	switch damaged := len(of(got, KindDamage)) > 0; {
	case missing > told && !unknown || missingFacts > toldFacts && !unknown:
		return fmt.Errorf("%d events and %d facts are missing, %d and %d are told: %v", missing, missingFacts, told, toldFacts, of(got, KindDamage))
	case !ended && !damaged:
		return errors.New("no end, and no damage")
	}
	return nil
}

func same(a, b Item) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case KindEvent:
		return *a.Event == *b.Event
	case KindSettings:
		return reflect.DeepEqual(a.Settings, b.Settings)
	}
	return reflect.DeepEqual(a.Service, b.Service)
}

func TestEveryByteFlipped(t *testing.T) {
	want, file := small(t)
	for i := range file {
		damaged := slices.Clone(file)
		damaged[i] ^= 1 << (i % 8)
		got, err := read(bytes.NewReader(damaged), ReadOptions{})
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if err := judge(got, want); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		// What is in other blocks is all there: three blocks of events, one of them hit at most.
		if n := len(of(got, KindEvent)); n < 60-30 {
			t.Fatalf("byte %d: only %d events", i, n)
		}
		if len(of(got, KindDamage)) > 0 {
			continue
		}
		if s, err := Verify(bytes.NewReader(damaged)); err != nil || len(s.Damages) == 0 { // the index is not read otherwise
			t.Fatalf("byte %d: nobody noticed: %v", i, err)
		}
	}
}

func TestCutAtEveryLength(t *testing.T) {
	want, file := small(t)
	all := blocks(t, file)
	for n := range file {
		got, err := read(bytes.NewReader(file[:n]), ReadOptions{})
		if n < all[0].frameAt {
			if err == nil || n == 0 && !errors.Is(err, ErrEmpty) || n > 0 && !errors.Is(err, ErrNoCapture) {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		if err := judge(got, want); err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		whole := 0
		for _, b := range all {
			if b.end <= n {
				whole += int(b.head.events)
			}
		}
		if got := len(of(got, KindEvent)); got != whole {
			t.Fatalf("cut after %d bytes: %d events, want %d", n, got, whole)
		}
		if d := of(got, KindDamage); len(d) != 1 || d[0].Damage.Offset > int64(n) {
			t.Fatalf("cut after %d bytes: %+v", n, d)
		}
	}
}

// Bytes that go missing, or come in, in the middle.
func TestBytesRemovedAndInserted(t *testing.T) {
	want, file := small(t)
	for from := 0; from < len(file); from += 29 {
		for _, n := range []int{1, 100, 300} {
			for _, damaged := range [][]byte{
				slices.Concat(file[:from], file[min(from+n, len(file)):]),
				slices.Concat(file[:from], bytes.Repeat([]byte("T*M\x18"), n), file[from:]),
				slices.Concat(file[:from], make([]byte, n*1000), file[from:]),
			} {
				got, err := read(bytes.NewReader(damaged), ReadOptions{})
				if errors.Is(err, ErrNoCapture) {
					t.Fatalf("at %d: %v", from, err)
				}
				if err := judge(got, want); err != nil {
					t.Fatalf("%d bytes at %d: %v", n, from, err)
				}
			}
		}
	}
}

func TestDamageIsToldExactly(t *testing.T) {
	want, file := small(t)
	all := blocks(t, file)
	kinds := []blockType{headerBlock, eventBlock, eventBlock, eventBlock, indexBlock, endBlock, trailerBlock}
	if len(all) != len(kinds) {
		t.Fatalf("%d blocks", len(all))
	}
	for i, b := range all {
		if b.head.kind != kinds[i] {
			t.Fatalf("block %d is of type %d", i, b.head.kind)
		}
	}
	part := func(i int) []byte { return file[all[i].at:all[i].end] }
	changed := func(i int, change func(*head)) []byte {
		h := all[i].head
		change(&h)
		return h.append(nil)
	}
	for _, c := range []struct {
		name   string
		file   []byte
		events int
		want   []Damage
	}{
		{"whole", file, 60, nil},
		{"a block is gone", slices.Concat(file[:all[2].at], file[all[3].at:]), 40,
			[]Damage{{Offset: int64(all[2].at), EventsMissing: 20, What: "blocks are missing before this one"}}},
		{"a block of events and facts is gone", slices.Concat(part(0), part(2), file[all[3].at:]), 30,
			[]Damage{{Offset: int64(all[1].at), EventsMissing: 30, FactsMissing: 2, What: "blocks are missing before this one"}}},
		{"two blocks are gone", slices.Concat(part(0), part(3), file[all[4].at:]), 10,
			[]Damage{{Offset: int64(all[1].at), EventsMissing: 50, FactsMissing: 2, What: "blocks are missing before this one"}}},
		{"a block twice", slices.Concat(file[:all[2].end], part(2), file[all[3].at:]), 60,
			[]Damage{{Offset: int64(all[2].end), What: "a block is here for the second time, and was left out"}}},
		{"two blocks in the wrong order", slices.Concat(part(0), part(2), part(1), file[all[3].at:]), 30,
			[]Damage{{Offset: int64(all[1].at), EventsMissing: 30, FactsMissing: 2, What: "blocks are missing before this one"},
				{Offset: int64(all[1].at + len(part(2))), What: "a block is here for the second time, and was left out"}}},
		{"the header is gone", file[all[1].at:], 60,
			[]Damage{{Offset: 0, What: "blocks are missing before this one"}}},
		{"no end", file[:all[4].at], 60,
			[]Damage{{Offset: int64(all[4].at), Unknown: true, What: "the end is missing: the recording was cut off, and up to its last second is not here"}}},
		{"no trailer", file[:all[6].at], 60,
			[]Damage{{Offset: int64(all[6].at), What: "the file is cut off behind the recording's end, where the index would be told"}}},
		{"cut within a block", file[:all[3].end-1], 50,
			[]Damage{{Offset: int64(all[3].at), EventsMissing: 10, FactsMissing: 1, Unknown: true,
				What: "a block of 10 events is cut off; the end is missing: the recording was cut off, and up to its last second is not here"}}},
		{"rubbish at the end", slices.Concat(file, []byte("rubbish")), 60,
			[]Damage{{Offset: int64(len(file)), What: "no block begins here; all this is behind the recording's end"}}},
		{"a frame that lies about its length", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.frame += 1 << 20 }), file[all[2].frameAt:]), 40,
			[]Damage{{Offset: int64(all[2].at), EventsMissing: 20, What: "a block of 20 events is cut off"}}},
		{"content that lies about its length", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.size-- }), file[all[2].frameAt:]), 40,
			[]Damage{{Offset: int64(all[2].at), EventsMissing: 20, What: "a block's content is wrong: it does not decompress to * bytes: *"}}},
		{"a head that asks for gigabytes", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.size = 1 << 31 }), file[all[2].frameAt:]), 40,
			[]Damage{{Offset: int64(all[2].at), EventsMissing: 20, What: "a block's head claims more than a block can have"}}},
		{"a head that counts too many events", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.events++ }), file[all[2].frameAt:]), 60,
			[]Damage{{Offset: int64(all[2].at), EventsMissing: 1, What: "a block's content is wrong: it has fewer values than events"}}},
		{"a head that counts too few", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.events-- }), file[all[2].frameAt:]), 59,
			[]Damage{{Offset: int64(all[2].at), What: "a block's content is wrong: it has more values than events"},
				{Offset: int64(all[3].at), EventsMissing: 1, What: "the recorder had no room for everything"}}},
		{"blocks of a newer type", slices.Concat(file[:all[2].at], changed(2, func(h *head) { h.kind = 9 }), file[all[2].frameAt:all[2].end],
			changed(3, func(h *head) { h.kind = 9 }), file[all[3].frameAt:]), 30,
			[]Damage{{Offset: int64(all[2].at), What: "blocks of type 9 are left out: a newer tcpstate reads them"}}},
		{"another recording behind it", slices.Concat(file, write(t, want[:1], nil)), 60,
			[]Damage{{Offset: int64(len(file)), Unknown: true, What: "blocks of another recording are in this file, and were left out: give each file by itself"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRead(t, c.file, ReadOptions{})
			if n := len(of(got, KindEvent)); n != c.events {
				t.Errorf("%d events, want %d", n, c.events)
			}
			damages := of(got, KindDamage)
			if len(damages) != len(c.want) {
				t.Fatalf("%d damages, want %d: %s", len(damages), len(c.want), told(damages))
			}
			for i, d := range damages {
				if !matches(*d.Damage, c.want[i]) {
					t.Errorf("\n got %+v\nwant %+v", *d.Damage, c.want[i])
				}
			}
		})
	}
}

// matches compares; a * in the text stands for anything.
func matches(got, want Damage) bool {
	rest := got.What
	for part := range strings.SplitSeq(want.What, "*") {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			return false
		}
		rest = after
	}
	want.What = got.What
	return got == want
}

func told(damages []Item) string {
	var b strings.Builder
	for _, d := range damages {
		fmt.Fprintf(&b, "%+v\n", *d.Damage)
	}
	return b.String()
}

func TestWhatIsNoCapture(t *testing.T) {
	_, file := small(t)
	newer := slices.Clone(file)
	n := headLength(newer)
	newer[atMajor] = Major + 1
	binary.LittleEndian.PutUint32(newer[n-checksumSize:], checksum(newer[:n-checksumSize]))
	for _, c := range []struct {
		name string
		file []byte
		err  error
		text string
	}{
		{"nothing", nil, ErrEmpty, "is empty: nothing was recorded"},
		{"text", []byte("hello, world, this is no capture"), ErrNoCapture, `is no capture: it begins with "hello, w" and has no block of one`},
		{"JSON", []byte(`{"schema":"tcpstate.report/v1"}`), ErrNoCapture, "is no capture: it looks like JSON"},
		{"zeros", make([]byte, 1<<20), ErrNoCapture, `is no capture: it begins with "\x00\x00\x00\x00\x00\x00\x00\x00" and has no block of one`},
		{"a few bytes of one", file[:10], ErrNoCapture, "is no capture: it is cut off after 10 bytes"},
		{"a newer one", newer, ErrVersion, "has a newer format: version 2, and this tcpstate reads version 1: a newer one is needed"},
		{"zstd of another kind", file[blocks(t, file)[0].frameAt:][:40], ErrNoCapture, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{bytes.NewReader(c.file), io.MultiReader(bytes.NewReader(c.file))} {
				_, err := NewReader(r, ReadOptions{})
				if !errors.Is(err, c.err) || c.text != "" && err.Error() != c.text {
					t.Errorf("%v, want %v: %s", err, c.err, c.text)
				}
			}
		})
	}
}

// A frame of a few bytes that would fill the memory ends at what its head said.
func TestDecompressionBomb(t *testing.T) {
	_, file := small(t)
	all := blocks(t, file)
	o, err := newOutput(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	frame := o.zstd.EncodeAll(make([]byte, 1<<30), nil)
	h := all[2].head
	h.frame, h.checksum = uint32(len(frame)), checksum(frame)
	for _, size := range []uint32{100, maxPayload} {
		h.size = size
		damaged := slices.Concat(file[:all[2].at], h.append(nil), frame, file[all[3].at:])
		got := mustRead(t, damaged, ReadOptions{})
		if d := of(got, KindDamage); len(d) != 1 || d[0].Damage.EventsMissing != 20 || d[0].Damage.Offset != int64(all[2].at) {
			t.Errorf("%s", told(d))
		}
	}
}

// A file of heads that each claim the longest block costs no more than a bounded number of rescans.
func TestLyingHeadsAreNotReadForEver(t *testing.T) {
	var file []byte
	h := head{major: Major, kind: eventBlock, frame: maxFrame}
	for len(file) < 1<<20 {
		h.sequence++
		file = h.append(file)
	}
	file = append(file, make([]byte, maxFrame)...)
	c, err := NewReader(bytes.NewReader(file), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = c.Next()
	}
	if !errors.Is(err, io.EOF) || c.rescans > maxRescans+maxFrame {
		t.Errorf("%v after %d bytes", err, c.rescans)
	}
}

func TestTheClockGoesBack(t *testing.T) {
	const second = int64(1e9)
	var all []event.Event
	for _, at := range []int64{100, 101, 99, 40, 41, 42, 35, 200} {
		all = append(all, blank(generatedStart+at*second))
	}
	got := mustRead(t, write(t, items(all), nil), ReadOptions{})
	if n := len(of(got, KindEvent)); n != len(all) {
		t.Errorf("%d events, want %d", n, len(all))
	}
	d := of(got, KindDamage)
	if len(d) != 1 || !strings.HasPrefix(d[0].Damage.What, "the clock went back by 1m") || d[0].Damage.EventsMissing != 0 {
		t.Errorf("%s", told(d))
	}
}

func TestVerifyFindsAWrongIndex(t *testing.T) {
	_, file := small(t)
	all := blocks(t, file)
	o, err := newOutput(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	index := make([]byte, 8)
	for _, b := range []blockAt{all[1], all[3], all[2]} {
		index = binary.LittleEndian.AppendUint64(index, uint64(b.at))
		index = append(index, file[b.at:b.frameAt]...)
	}
	frame := o.zstd.EncodeAll(index, nil)
	h := all[4].head
	h.size, h.frame, h.checksum = uint32(len(index)), uint32(len(frame)), checksum(frame)
	moved := h.append(nil)
	trailer := all[6].head
	trailer.setTrailer(int64(all[4].at), int64(all[4].at+len(moved)+len(frame)))
	damaged := slices.Concat(file[:all[4].at], moved, frame, file[all[5].at:all[6].at], trailer.append(nil))
	s, err := Verify(bytes.NewReader(damaged))
	if err != nil || len(s.Damages) != 1 || !strings.Contains(s.Damages[0].What, "the index does not tell") {
		t.Errorf("%+v, %v", s, err)
	}
	// And it misleads nobody who reads.
	got := mustRead(t, damaged, ReadOptions{Since: 1})
	if n := len(of(got, KindEvent)); n != 60 {
		t.Errorf("%d events, want 60", n)
	}
}

// What a newer minor version adds is left out with one warning; the rest is read.
func TestWhatNewerVersionsAdd(t *testing.T) {
	want, file := small(t)
	o, err := newOutput(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	damaged := file[:blocks(t, file)[1].at]
	for _, b := range blocks(t, file)[1:] {
		h, frame := b.head, file[b.frameAt:b.end]
		h.minor++
		h.extra = append(h.extra, "newer fields"...)
		if h.kind == eventBlock {
			content, err := z.DecodeAll(frame, nil)
			if err != nil {
				t.Fatal(err)
			}
			directory := cursor{b: content}
			for range 1 + columns {
				directory.varint()
			}
			content[0]++ // a column more, the last one
			content = slices.Concat(content[:directory.i], []byte{3}, content[directory.i:], []byte("new"))
			frame = o.zstd.EncodeAll(content, nil)
			h.size, h.frame, h.checksum = uint32(len(content)), uint32(len(frame)), checksum(frame)
		}
		damaged = slices.Concat(damaged, h.append(nil), frame)
	}
	got := mustRead(t, damaged, ReadOptions{})
	if err := judge(got, want); err != nil || len(of(got, KindEvent)) != 60 || len(of(got, KindDamage)) != 0 {
		t.Errorf("%d events, %v, %s", len(of(got, KindEvent)), err, told(of(got, KindDamage)))
	}
	var withFacts bytes.Buffer
	w, err := NewWriter(&withFacts, Header{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.fact(9, []byte("{}"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(End{}); err != nil {
		t.Fatal(err)
	}
	if d := of(mustRead(t, withFacts.Bytes(), ReadOptions{}), KindDamage); len(d) != 1 || d[0].Damage.What != "facts of kind 9 are left out: a newer tcpstate reads them" {
		t.Errorf("%s", told(d))
	}
}
