package service

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcpstate/tcpstate/internal/event"
)

func TestRuntimeNamed(t *testing.T) {
	for name, want := range map[string]string{
		"java": "java", "HikariPool-1 co": "java", "http-nio-8080-e": "java",
		"python3.11": "python", "python3.13t": "python", "python": "python", "pypy3.10": "python", "gunicorn: maste": "python",
		"uwsgi": "python", "[celeryd: x": "", "celery": "python", "hit.py": "python",
		"node": "node", "nodejs": "node", "node20": "node", "node-MainThread": "node", "PM2 v5.3.0: God": "node",
		"node_exporter": "", "next-server (v1": "node",
		"php": "php", "php8.2": "php", "php-fpm8.2": "php", "php-fpm": "php", "php-cgi8.2": "php", "phpmyadmin": "",
		"ruby3.1": "ruby", "puma 6.4.2 (tcp": "ruby", "puma: cluster w": "ruby", "sidekiq 7.2.0 a": "ruby",
		"perl": "perl", "perl5.36.0": "perl", "hit.pl": "perl", "dotnet": "dotnet", "mono-sgen": "dotnet",
		"beam.smp": "erlang", "lua5.4": "lua", "bash": "shell", "backup.sh": "shell",
		"nginx": "nginx", "haproxy": "haproxy", "envoy": "envoy", "apache2": "apache", "httpd": "apache",
		"pgbouncer": "pgbouncer", "curl": "curl", "psql": "psql", "ab": "ab", "wrk2": "wrk", "h2load": "h2load",
		"redis-benchmark": "redis-benchmark", "redis-server": "", "mysqld": "", "k6": "", "": "", ".": "", " ": "", "3": "",
		"server": "", "javac": "", "xjava": "", "ab-test": "",
	} {
		if got := runtimeNamed(name); got != want {
			t.Errorf("%q tells %q, want %q", name, got, want)
		}
	}
}

func TestRuntimesListsAllThatCanBeTold(t *testing.T) {
	known := Runtimes()
	tells := func(what, runtime string) {
		if !slices.Contains(known, runtime) {
			t.Errorf("%s tells %q, which Runtimes does not list", what, runtime)
		}
	}
	for name, r := range programs {
		tells(name, r)
		if got := runtimeNamed(name); got != r {
			t.Errorf("%q tells %q, the table says %q", name, got, r)
		}
	}
	for name, r := range scripts {
		tells(name, r)
	}
	for _, m := range runtimeMarks {
		tells(m.file, m.tells)
	}
	for i, name := range known {
		if slices.Index(known, name) != i || event.Printable(name) != name {
			t.Errorf("%q is listed twice, or not printable", name)
		}
	}
}

// elfFile makes an ELF file with nothing in it but sections.
type elfFile struct {
	class32, bigEndian bool
	sections           map[string]string
	edit               func(header, table []byte, order binary.ByteOrder) // spoils it
}

func (f elfFile) bytes() []byte {
	layout, order, ident := elf64, binary.ByteOrder(binary.LittleEndian), "\x7fELF\x02\x01\x01"
	if f.bigEndian {
		order = binary.BigEndian
	}
	if f.class32 {
		layout = elf32
	}
	header := make([]byte, layout.headerSize)
	copy(header, ident)
	if f.class32 {
		header[4] = 1
	}
	if f.bigEndian {
		header[5] = 2
	}
	names, body := "\x00", header
	table := make([]byte, layout.entrySize) // the first is empty
	add := func(name, content string) {
		entry := make([]byte, layout.entrySize)
		order.PutUint32(entry, uint32(len(names)))
		names += name + "\x00"
		if name == ".shstrtab" {
			content = names
		}
		f.put(order, entry[layout.offsetAt:], uint64(len(body)))
		f.put(order, entry[layout.offsetAt+layout.wordSize:], uint64(len(content)))
		body = append(body, content...)
		table = append(table, entry...)
	}
	for name, content := range f.sections {
		add(name, content)
	}
	add(".shstrtab", "")
	count := len(table) / layout.entrySize
	f.put(order, header[layout.sectionsAt:], uint64(len(body)))
	order.PutUint16(header[layout.entrySizeAt:], uint16(layout.entrySize))
	order.PutUint16(header[layout.entrySizeAt+2:], uint16(count))
	order.PutUint16(header[layout.entrySizeAt+4:], uint16(count-1))
	copy(body, header)
	if f.edit != nil {
		f.edit(body[:layout.headerSize], table, order)
	}
	return append(body, table...)
}

func (f elfFile) put(order binary.ByteOrder, b []byte, v uint64) {
	if f.class32 {
		order.PutUint32(b, uint32(v))
		return
	}
	order.PutUint64(b, v)
}

var (
	goSections   = map[string]string{".text": "x", ".go.buildinfo": "\xff Go buildinf:\x08\x02"}
	rustSections = map[string]string{".text": "x", ".comment": "GCC: (Debian) 12.2\x00rustc version 1.75.0 (82e1608df)\x00"}
)

func TestELFRuntime(t *testing.T) {
	for _, tc := range []struct {
		name string
		file []byte
		want string
	}{
		{"Go", elfFile{sections: goSections}.bytes(), "go"},
		{"Go for s390x", elfFile{sections: goSections, bigEndian: true}.bytes(), "go"},
		{"Go for arm", elfFile{sections: goSections, class32: true}.bytes(), "go"},
		{"Go for mips", elfFile{sections: goSections, class32: true, bigEndian: true}.bytes(), "go"},
		{"Rust", elfFile{sections: rustSections}.bytes(), "rust"},
		{"C", elfFile{sections: map[string]string{".text": "x", ".comment": "GCC: (Debian) 12.2\x00"}}.bytes(), ""},
		{"only the section's name", elfFile{sections: map[string]string{".go.buildinfo": "nothing of the kind"}}.bytes(), ""},
		{"an empty section", elfFile{sections: map[string]string{".go.buildinfo": ""}}.bytes(), ""},
		{"a script", []byte("#!/bin/sh\n"), ""},
		{"an empty file", nil, ""},
		{"the magic alone", []byte("\x7fELF"), ""},
		{"a header alone", elfFile{sections: goSections}.bytes()[:64], ""},
		{"cut in its section headers", elfFile{sections: goSections}.bytes()[:250], ""},
		{"too many sections", spoiled(60, 1000), ""},
		{"more sections than any linker writes", manySections(maxSections), ""},
		{"as many sections as are read", manySections(maxSections - 3), "go"},
		{"no sections", spoiled(60, 0), ""},
		{"section headers of another size", spoiled(58, 63), ""},
		{"the names' section does not exist", spoiled(62, 60000), ""},
		{"a section table at the end of the address space", spoiledWord(40, math.MaxUint64-8), ""},
		{"a section table where offsets become negative", spoiledWord(40, math.MaxInt64), ""},
		{"names of 4 GiB", spoiledNames(1 << 32), ""},
		{"names that do not end", unendedNames(), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := elfRuntime(bytes.NewReader(tc.file)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// spoiled is a Go program with another value in a 16-bit field of its header.
func spoiled(at int, v uint16) []byte {
	return elfFile{sections: goSections, edit: func(header, _ []byte, order binary.ByteOrder) {
		order.PutUint16(header[at:], v)
	}}.bytes()
}

func spoiledWord(at int, v uint64) []byte {
	return elfFile{sections: goSections, edit: func(header, _ []byte, order binary.ByteOrder) {
		order.PutUint64(header[at:], v)
	}}.bytes()
}

func spoiledNames(size uint64) []byte {
	return elfFile{sections: goSections, edit: func(_, table []byte, order binary.ByteOrder) {
		order.PutUint64(table[len(table)-elf64.entrySize+elf64.offsetAt+8:], size)
	}}.bytes()
}

// manySections is a Go program with n sections beside its own three.
func manySections(n int) []byte {
	sections := map[string]string{".go.buildinfo": goSections[".go.buildinfo"]}
	for i := range n {
		sections["."+strconv.Itoa(i)] = ""
	}
	return elfFile{sections: sections}.bytes()
}

// unendedNames cuts the names off inside ".go.buildinfo".
func unendedNames() []byte {
	return elfFile{sections: map[string]string{".go.buildinfo": goSections[".go.buildinfo"]},
		edit: func(_, table []byte, order binary.ByteOrder) {
			order.PutUint64(table[len(table)-elf64.entrySize+elf64.offsetAt+8:], uint64(len("\x00.go.buildinfo")))
		}}.bytes()
}

// greedy is a file of any size that counts what is read of it.
type greedy struct {
	head []byte
	read int
}

func (g *greedy) ReadAt(b []byte, off int64) (int, error) {
	g.read += len(b)
	clear(b)
	if off < int64(len(g.head)) {
		copy(b, g.head[off:])
	}
	return len(b), nil
}

func FuzzELFRuntime(f *testing.F) {
	f.Add(elfFile{sections: goSections}.bytes())
	f.Add(elfFile{sections: rustSections, class32: true, bigEndian: true}.bytes())
	f.Add(spoiledNames(maxSectionNames))
	f.Add(spoiledNames(4 << 20))
	f.Add(manySections(maxSections - 3))
	f.Fuzz(func(t *testing.T, file []byte) {
		if r := elfRuntime(bytes.NewReader(file)); r != "" && r != "go" && r != "rust" {
			t.Fatalf("told %q", r)
		}
		g := &greedy{head: file}
		elfRuntime(g)
		const bound = 16 + 64 + maxSections*64 + maxSectionNames + maxSections*maxComment
		if g.read > bound {
			t.Fatalf("read %d bytes", g.read)
		}
	})
}

func mapsOf(files ...string) string {
	var b strings.Builder
	b.WriteString("55d0c8a00000-55d0c8a01000 r--p 00000000 08:01 131 /usr/sbin/program\n" +
		"7ffc1000-7ffc2000 rw-p 00000000 00:00 0 [stack]\n")
	for _, file := range files {
		b.WriteString("7f2a00000000-7f2a00001000 r-xp 00026000 08:01 1234                       " + file + "\n")
	}
	return b.String()
}

func TestReadMaps(t *testing.T) {
	filler := strings.Repeat("7f2a00000000-7f2a00001000 rw-p 00000000 00:00 0 \n", maxMaps/49)
	for _, tc := range []struct {
		name, maps       string
		runtime, library string
	}{
		{"nothing", "", "", ""},
		{"a plain C program", mapsOf("/usr/lib/x86_64-linux-gnu/libc.so.6"), "", ""},
		{"Java", mapsOf("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so"), "java", ""},
		{"uwsgi", mapsOf("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"), "python", ""},
		{"mod_php", mapsOf("/usr/lib/apache2/modules/libphp8.2.so"), "php", ""},
		{"Ruby", mapsOf("/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.2"), "ruby", ""},
		{"Node", mapsOf("/usr/lib/x86_64-linux-gnu/libnode.so.108"), "node", ""},
		{"self-contained .NET", mapsOf("/srv/app/libcoreclr.so"), "dotnet", ""},
		{"single-file .NET", mapsOf("/memfd:doublemapper (deleted)"), "dotnet", ""},
		{"Java with Python inside", mapsOf("/x/libpython3.so", "/x/libjvm.so"), "java", ""},
		{"libpq, whatever its dependencies", mapsOf("/l/libldap.so.2", "/l/libcurl.so.4", "/l/libpq.so.5.15"), "", "libpq"},
		{"psycopg2-binary brings its own", mapsOf("/v/psycopg2_binary.libs/libpq-e8a033dd.so.5.16 (deleted)"), "", "libpq"},
		{"the GnuTLS build of libcurl", mapsOf("/l/libcurl-gnutls.so.4.8.0"), "", "libcurl"},
		{"MariaDB", mapsOf("/l/libmariadb.so.3"), "", "libmariadb"},
		{"other libraries with like names", mapsOf("/l/libpqxx.so", "/l/libpq", "/l/xlibpq.so", "/l/libjvmx.so",
			"/l/libnode_x.so"), "", ""},
		{"a directory is no file", mapsOf("/l/libpq.so.5/other.so"), "", ""},
		{"the last line has no end", strings.TrimSuffix(mapsOf("/l/libpq.so.5"), "\n"), "", "libpq"},
		{"within the bound", filler[:len(filler)/2] + mapsOf("/l/libpq.so.5"), "", "libpq"},
		{"beyond the bound", filler + mapsOf("/l/libpq.so.5"), "", ""},
		{"after a line longer than any", strings.Repeat("x", 3*maxMapsLine) + "\n" + mapsOf("/l/libpq.so.5"), "", "libpq"},
		{"an escaped newline in a path", mapsOf("/tmp/a\\012/l/libhiredis.so.1"), "", "libhiredis"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runtime, library := readMaps(strings.NewReader(tc.maps))
			if runtime != tc.runtime || library != tc.library {
				t.Errorf("got %q, %q; want %q, %q", runtime, library, tc.runtime, tc.library)
			}
		})
	}
}

func FuzzReadMaps(f *testing.F) {
	f.Add(mapsOf("/l/libpq.so.5", "/l/libjvm.so"))
	f.Add("/libpq")
	f.Fuzz(func(t *testing.T, maps string) {
		runtime, library := readMaps(strings.NewReader(maps))
		if runtime != "" && !slices.Contains(Runtimes(), runtime) || library != "" && !slices.Contains(Libraries(), library) {
			t.Fatalf("told %q and %q", runtime, library)
		}
	})
}

// runs makes a process with an executable that can be opened, and maps.
func (h *host) runs(pid uint32, comm, program string, executable []byte, maps string) {
	h.t.Helper()
	exe := filepath.Join(h.t.TempDir(), program)
	h.must(os.WriteFile(exe, executable, 0o755))
	h.run(pid, comm, exe, "0::/x.service\n")
	h.must(os.WriteFile(filepath.Join(h.proc, strconv.Itoa(int(pid)), "maps"), []byte(maps), 0o644))
}

func TestSeeTellsRuntimeAndLibrary(t *testing.T) {
	goProgram, libpq := elfFile{sections: goSections}.bytes(), "/l/libpq.so.5"
	for _, tc := range []struct {
		name, comm, program string
		executable          []byte
		maps                string
		runtime, library    string
	}{
		{"an executable's name", "pool-1-thread-3", "java", nil, mapsOf(libpq), "java", ""},
		{"an interpreter and its libraries", "worker", "python3.11", nil, mapsOf(libpq), "python", "libpq"},
		{"the executable decides, not what the process calls itself", "curl", "python3.11", nil, "", "python", ""},
		{"a process that names itself", "gunicorn: maste", "app.bin", nil, "", "python", ""},
		{"a Go program", "gateway", "gateway", goProgram, mapsOf(libpq), "go", ""},
		{"a Rust program", "gateway", "gateway", elfFile{sections: rustSections}.bytes(), mapsOf(libpq), "rust", "libpq"},
		{"a C program", "batch", "batch", []byte("\x7fELF"), mapsOf(libpq), "", "libpq"},
		{"self-contained .NET", "Shop.Api", "Shop.Api", []byte("\x7fELF"), mapsOf("/srv/libcoreclr.so"), "dotnet", ""},
		{"Apache alone", "apache2", "apache2", nil, mapsOf("/l/libc.so.6"), "apache", ""},
		{"Apache with PHP inside", "apache2", "apache2", nil, mapsOf("/l/libphp8.2.so", libpq), "php", "libpq"},
		{"uwsgi without a sign", "uwsgi", "uwsgi-core", nil, mapsOf(), "python", ""},
		{"uwsgi with Ruby inside", "uwsgi", "uwsgi-core", nil, mapsOf("/l/libruby-3.1.so"), "ruby", ""},
		{"nothing known", "batch", "batch", nil, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			h.runs(7, tc.comm, tc.program, tc.executable, tc.maps)
			s := h.resolver().See(owner(7, 20, tc.comm))
			if s.Runtime != tc.runtime || s.Library != tc.library {
				t.Errorf("runtime %q, library %q; want %q, %q", s.Runtime, s.Library, tc.runtime, tc.library)
			}
		})
	}
}

func TestRuntimeOfAProcessThatIsGone(t *testing.T) {
	h := newHost(t)
	h.runs(8, "sshd", "java", nil, mapsOf("/l/libpq.so.5"))
	for _, tc := range []struct {
		what, comm string
		pid        uint32
		opts       Options
		runtime    string
	}{
		{"gone", "curl", 99, Options{ProcRoot: h.proc}, "curl"},
		{"gone, and its name tells nothing", "batch", 99, Options{ProcRoot: h.proc}, ""},
		{"another program by now", "php8.2", 8, Options{ProcRoot: h.proc}, "php"},
		{"on another host", "python3.11", 8, Options{ProcRoot: h.proc, Offline: true}, "python"},
		{"no pid known", "ab", 0, Options{ProcRoot: h.proc}, "ab"},
	} {
		tc.opts.CgroupRoot = h.cgroup
		s := NewResolver(tc.opts).See(owner(tc.pid, 20, tc.comm))
		if s.Runtime != tc.runtime || s.Library != "" {
			t.Errorf("%s: runtime %q, library %q; want %q", tc.what, s.Runtime, s.Library, tc.runtime)
		}
	}
	r := NewResolver(Options{ProcRoot: h.proc, CgroupRoot: h.cgroup, Max: 1})
	r.See(owner(1, 20, "a"))
	if s := r.See(owner(2, 20, "psql")); s.Runtime != "psql" {
		t.Errorf("beyond the bound of services: runtime %q", s.Runtime)
	}
}

func TestOwnProcessIsAGoProgram(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	s := NewResolver(Options{}).See(owner(uint32(os.Getpid()), 1, strings.TrimSuffix(string(comm), "\n")))
	if s.Runtime != "go" {
		t.Errorf("runtime %q of %s", s.Runtime, s.Exe)
	}
}

// TestFilesThatHang stands for an executable on a network file system whose server is gone.
func TestFilesThatHang(t *testing.T) {
	h := newHost(t)
	r := h.resolver()
	hang := make(chan struct{})
	var looks atomic.Int32
	r.inspect.wait = time.Millisecond
	r.inspect.look = func(*os.File) clues {
		looks.Add(1)
		<-hang
		return clues{compiled: "go"}
	}
	see := func(pid uint32) *Service {
		name := "batch" + strconv.Itoa(int(pid))
		h.runs(pid, name, name, nil, "")
		return r.See(owner(pid, 20, name))
	}
	for pid := uint32(1); pid <= 3; pid++ {
		if s := see(pid); s.Runtime != "" || s.Exe == "" || s.Unit != "x.service" {
			t.Errorf("runtime %q, exe %q, unit %q: what does not hang must be told", s.Runtime, s.Exe, s.Unit)
		}
	}
	if n := looks.Load(); n != 1 || r.inspect.overruns != 1 {
		t.Fatalf("%d looks, %d overruns: one that hangs must keep back the others", n, r.inspect.overruns)
	}
	close(hang)
	r.inspect.wait = time.Minute
	for pid := uint32(4); ; pid++ { // until the one that hung has ended
		if s := see(pid); s.Runtime == "go" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.inspect.overruns = maxOverruns
	if s := see(1000); s.Runtime != "" {
		t.Error("inspected although that took too long too often")
	}
}

// BenchmarkInspect is what the inspection adds to the look-up of a new service, for this Go program, and for one of
// which both files must be read.
func BenchmarkInspect(b *testing.B) {
	dir, err := os.OpenRoot("/proc/self")
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	for name, comm := range map[string]string{"name=curl": "curl", "name=unknown": "unknown", "name=python": "python3"} {
		b.Run(name, func(b *testing.B) {
			in := newInspector()
			for b.Loop() {
				in.runtime(dir, "", comm)
			}
		})
	}
}
