package service

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxMaps bounds what is read of /proc/PID/maps: some 10,000 mappings. What lies above in the address space is not
// seen.
const maxMaps = 1 << 20

// maxMapsLine holds a path of 4096 bytes, each of which may come as an octal escape of four (seq_path).
const maxMapsLine = 32 << 10

// mark is a mapped file that tells something.
type mark struct {
	file  string // how its name begins; "-", ".", a digit or a blank must follow
	tells string
}

// runtimeMarks are the files that only one runtime maps, the most telling first. Single-file .NET programs map no
// library of theirs, but the memory in which they write machine code (src/coreclr/minipal/Unix/doublemapping.cpp).
var runtimeMarks = []mark{
	{"libjvm", runtimeJava},
	{"libcoreclr", runtimeDotnet},
	{"memfd:doublemapper", runtimeDotnet},
	{"libmonosgen", runtimeDotnet},
	{"libphp", runtimePHP},
	{"libnode", runtimeNode},
	{"libruby", runtimeRuby},
	{"mod_perl", runtimePerl},
	{"libpython", runtimePython},
}

// libraryMarks are client libraries, the most telling first: libpq brings libldap along, libcurl comes with nearly
// everything.
var libraryMarks = []mark{
	{"libpq", "libpq"},
	{"libmariadb", "libmariadb"},
	{"libmysqlclient", "libmysqlclient"},
	{"libhiredis", "libhiredis"},
	{"libmemcached", "libmemcached"},
	{"libmongoc", "libmongoc"},
	{"libcassandra", "libcassandra"},
	{"librdkafka", "librdkafka"},
	{"librabbitmq", "librabbitmq"},
	{"libclntsh", "libclntsh"},
	{"libsybdb", "libsybdb"},
	{"libodbc", "libodbc"},
	{"libcurl", "libcurl"},
	{"libldap", "libldap"},
}

// Libraries returns every value [Service.Library] can have, apart from "".
func Libraries() []string {
	names := make([]string, len(libraryMarks))
	for i, m := range libraryMarks {
		names[i] = m.tells
	}
	return names
}

// readMaps tells from /proc/PID/maps which runtime and which client library a process has loaded.
func readMaps(r io.Reader) (runtime, library string) {
	lines := bufio.NewReaderSize(io.LimitReader(r, maxMaps), maxMapsLine)
	bestRuntime, bestLibrary := len(runtimeMarks), len(libraryMarks)
	for {
		line, err := lines.ReadSlice('\n')
		if file := mappedFile(line); file != nil {
			bestRuntime = firstMark(runtimeMarks[:bestRuntime], file, bestRuntime)
			bestLibrary = firstMark(libraryMarks[:bestLibrary], file, bestLibrary)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if bestRuntime < len(runtimeMarks) {
		runtime = runtimeMarks[bestRuntime].tells
	}
	if bestLibrary < len(libraryMarks) {
		library = libraryMarks[bestLibrary].tells
	}
	return runtime, library
}

// mappedFile returns the name, without directories, of the file in a line of maps; nil where there is none, or none
// that can be a mark: "7f2a… r-xp 00026000 08:01 1234   /usr/lib/x86_64-linux-gnu/libpq.so.5.15".
func mappedFile(line []byte) []byte {
	i := bytes.LastIndexByte(line, '/')
	if i < 0 {
		return nil
	}
	file := line[i+1:]
	if len(file) < 5 || (file[0] != 'l' && file[0] != 'm') {
		return nil
	}
	return file
}

// firstMark returns the index of the first mark that fits, or none.
func firstMark(marks []mark, file []byte, none int) int {
	for i, m := range marks {
		if len(file) > len(m.file) && string(file[:len(m.file)]) == m.file && endsName(file[len(m.file)]) {
			return i
		}
	}
	return none
}

func endsName(c byte) bool { return c == '-' || c == '.' || c == ' ' || c >= '0' && c <= '9' }
