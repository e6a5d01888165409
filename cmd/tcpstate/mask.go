package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpstate/tcpstate/internal/anonymize"
	"github.com/tcpstate/tcpstate/internal/capture"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/service"
)

// maskFlags say what is replaced by something that tells nothing.
type maskFlags struct {
	anonymize, names bool
	key              string
}

// keyVariable has the key when no flag names a file with it.
const keyVariable = "TCPSTATE_ANONYMIZE_KEY"

func maskFlagsOf(cmd *cobra.Command, f *maskFlags) {
	flags := cmd.Flags()
	flags.BoolVar(&f.anonymize, "anonymize", false, "replace addresses, and this host's name, by what tells nothing; an address becomes the same one everywhere")
	flags.BoolVar(&f.names, "anonymize-names", false, "with --anonymize: also names of programs, files, units, containers, pods and cgroups")
	flags.StringVar(&f.key, "anonymize-key", "", "with --anonymize: the key is what `FILE` contains, else $"+keyVariable+", else a new one each time; the same key gives the same addresses")
}

func (f *maskFlags) check() error {
	switch {
	case f.anonymize:
		return nil
	case f.names:
		return errors.New("--anonymize-names needs --anonymize")
	case f.key != "":
		return errors.New("--anonymize-key needs --anonymize")
	}
	return nil
}

type mapper = anonymize.Mapper

// mapper returns nil when nothing is to be replaced.
func (f *maskFlags) mapper() (*mapper, error) {
	if !f.anonymize {
		return nil, nil
	}
	key, from, err := f.read()
	if err != nil {
		return nil, failure{err}
	}
	m, err := anonymize.New(key, f.names)
	if err != nil {
		return nil, failure{fmt.Errorf("%s: %w: head -c 32 /dev/urandom | base64 makes one", from, err)}
	}
	return m, nil
}

// maxKey is longer than any key.
const maxKey = 4096

// read returns the key, and where it is from.
func (f *maskFlags) read() (key []byte, from string, err error) {
	if f.key == "" {
		if v := os.Getenv(keyVariable); v != "" {
			return []byte(strings.TrimRight(v, "\r\n")), "$" + keyVariable, nil
		}
		return anonymize.RandomKey(), "", nil
	}
	file, err := os.Open(f.key)
	if err != nil {
		return nil, "", fmt.Errorf("--anonymize-key: %w", err)
	}
	defer file.Close()
	key, err = io.ReadAll(io.LimitReader(file, maxKey+1))
	if err == nil && len(key) > maxKey {
		err = fmt.Errorf("%s is longer than %d bytes: that is no key", f.key, maxKey)
	}
	if err != nil {
		return nil, "", fmt.Errorf("--anonymize-key: %w", err)
	}
	return bytes.TrimRight(key, "\r\n"), "--anonymize-key " + f.key, nil
}

// mask replaces what is in one capture. A nil one replaces nothing.
type mask struct {
	mapper   *mapper
	services *service.Resolver // knows services by what replaces them
}

func newMask(m *mapper) *mask {
	if m == nil {
		return nil
	}
	return &mask{mapper: m, services: service.NewResolver(service.Options{Offline: true})}
}

// event replaces what is in e, and returns it with its service, which was s.
func (m *mask) event(e *event.Event, s *service.Service) (*event.Event, *service.Service) {
	if m == nil {
		return e, s
	}
	m.mapper.Event(e)
	return e, m.services.See(&e.Owner)
}

// fact replaces what is in settings, which is nothing, or in a service.
func (m *mask) fact(item *capture.Item) {
	if m == nil || item.Kind != capture.KindService {
		return
	}
	s := item.Service
	s.Identity.Comm = m.mapper.Comm(s.Identity.Comm)
	s.Name = m.name(s)
	s.Comm = s.Identity.Comm.String()
	s.Exe = m.mapper.Name("exe", s.Exe)
	s.Unit = m.unit(s.Unit)
	s.ContainerID = m.mapper.Name("container", s.ContainerID)
	s.Pod = m.mapper.Name("pod", s.Pod)
	s.Cgroup = m.mapper.Name("cgroup", s.Cgroup)
	m.services.Learn(s.Identity, learned(s), s.PIDs)
}

// name is mostly one of the other texts of s.
func (m *mask) name(s *capture.Service) string {
	switch s.Name {
	case s.Comm:
		return s.Identity.Comm.String()
	case s.Unit:
		return m.unit(s.Unit)
	case s.ContainerID:
		return m.mapper.Name("container", s.ContainerID)
	}
	return m.mapper.Name(anonymize.CommSort, s.Name)
}

// unit keeps what sort of unit it is.
func (m *mask) unit(unit string) string {
	i := strings.LastIndexByte(unit, '.')
	if !m.mapper.Names() || i < 0 {
		return m.mapper.Name("unit", unit)
	}
	return m.mapper.Name("unit", unit[:i]) + unit[i:]
}
