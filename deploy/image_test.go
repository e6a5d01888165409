package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// image is what the Dockerfile says of it.
type image struct {
	stages           []instructions.Stage
	entrypoint, port string
	files            map[string]bool // that are copied into it
}

func dockerfile(t *testing.T) image {
	t.Helper()
	file, err := os.Open("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := image{stages: stages, files: map[string]bool{}}
	for _, command := range stages[len(stages)-1].Commands {
		switch c := command.(type) {
		case *instructions.EntrypointCommand:
			if c.PrependShell {
				t.Errorf("%s: there is no shell", c)
			}
			i.entrypoint = strings.Join(c.CmdLine, " ")
		case *instructions.CmdCommand:
			if c.PrependShell {
				t.Errorf("%s: there is no shell", c)
			}
		case *instructions.ExposeCommand:
			i.port = strings.Join(c.Ports, " ")
		case *instructions.RunCommand:
			t.Errorf("%s: there is nothing to run it", c)
		case *instructions.CopyCommand:
			i.files[c.DestPath] = true
		}
	}
	return i
}

func TestTheImageIsTheBinaryAlone(t *testing.T) {
	i := dockerfile(t)
	last := i.stages[len(i.stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	if !i.files[i.entrypoint] {
		t.Errorf("%s is started and not there", i.entrypoint)
	}
	if !i.files["/NOTICES"] {
		t.Error("the licences of what is in the binary are not there")
	}
}

func TestWhatTheImageIsMadeOfIsThere(t *testing.T) {
	names := map[string]bool{}
	for _, stage := range dockerfile(t).stages {
		for _, command := range stage.Commands {
			c, ok := command.(*instructions.CopyCommand)
			if !ok {
				continue
			}
			if c.From != "" {
				if !names[c.From] {
					t.Errorf("%s: there is no stage %s before it", c, c.From)
				}
				continue
			}
			for _, path := range c.SourcePaths {
				if _, err := os.Stat(filepath.Join("..", path)); err != nil {
					t.Errorf("%s: %v", c, err)
				}
			}
		}
		names[stage.Name] = true
	}
	for _, line := range strings.Split(read(t, "Dockerfile.dockerignore"), "\n") {
		for _, needed := range []string{"cmd", "internal", "packaging", "bpf", "go.mod", "go.sum", "Makefile", "LICENSE", "tools"} {
			if strings.Trim(line, "/") == needed {
				t.Errorf("%s is needed and left out", needed)
			}
		}
	}
}
