// Command bom says what a binary of tcpstate is made of: as a bill of materials (CycloneDX), and as the notices that
// the licences of its parts ask for.
//
//	go list -m -f '{{.Path}}{{"\t"}}{{.Version}}{{"\t"}}{{.Dir}}' all | bom -sbom FILE -notices FILE BINARY
//
// What it is made of, the binary itself says (as `go version -m` shows). Where the modules' licences are comes from
// standard input. The same binary and time give the same bytes.
package main

import (
	"debug/buildinfo"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "bom:", err)
		os.Exit(1)
	}
}

func run(args []string, modules io.Reader) error {
	flags := flag.NewFlagSet("bom", flag.ContinueOnError)
	sbom := flags.String("sbom", "", "write the bill of materials to `FILE`")
	notices := flags.String("notices", "", "write the licences of all parts to `FILE`")
	version := flags.String("version", "", "`VERSION` of tcpstate")
	source := flags.String("source", ".", "`DIR` of the sources, where the licences of tcpstate are")
	goroot := flags.String("goroot", "", "`DIR` of Go (go env GOROOT), where the licence of its library is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("one BINARY is needed, got %d", flags.NArg())
	}
	made, err := epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	parts, err := readParts(flags.Arg(0), *version, *source, *goroot, modules)
	if err != nil {
		return err
	}
	if *sbom != "" {
		if err := writeTo(*sbom, func(w io.Writer) error { return parts.writeSBOM(w, made) }); err != nil {
			return err
		}
	}
	if *notices != "" {
		return writeTo(*notices, parts.writeNotices)
	}
	return nil
}

// epoch reads a number of seconds since 1970.
func epoch(text string) (time.Time, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH must be a number of seconds, it is %q", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func writeTo(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		_ = file.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return file.Close()
}

// readParts finds out what binary is made of, and reads the licences of all of it.
func readParts(binary, version, source, goroot string, modules io.Reader) (*parts, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read what %s is made of: %w", binary, err)
	}
	dirs, err := readDirs(modules)
	if err != nil {
		return nil, err
	}
	p := &parts{}
	if p.digest, err = digestOf(binary); err != nil {
		return nil, err
	}
	p.self = part{path: info.Main.Path, version: version, licence: "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)"}
	for _, name := range []string{"LICENSE", "bpf/LICENSE", "bpf/LICENSE.GPL-2.0"} {
		if err := p.self.read(filepath.Join(source, name), name); err != nil {
			return nil, err
		}
	}
	std := part{path: "std", version: info.GoVersion, licence: "BSD-3-Clause"}
	if err := std.read(filepath.Join(goroot, "LICENSE"), "LICENSE"); err != nil {
		return nil, err
	}
	p.others = append(p.others, std)
	for _, module := range info.Deps {
		m := part{path: module.Path, version: module.Version, sum: module.Sum}
		if err := m.readAll(dirs[module.Path+"@"+module.Version]); err != nil {
			return nil, err
		}
		p.others = append(p.others, m)
	}
	return p, nil
}
