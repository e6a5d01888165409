package top

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/sys/unix"
)

// framesPerSecond bounds how often the terminal is written to; when nothing changed it is not.
const framesPerSecond = 30

// Run shows updates on a terminal until the user quits, ctx ends, or SIGINT, SIGTERM, SIGHUP or SIGQUIT comes: none of
// these is an error. Whatever happens, a panic in here included, the terminal is left as it was found; what goroutines
// of the caller must do for that is said at [Crash]. Updates are taken until Run returns, so whoever sends them must
// stop when it does; the channel may be closed before.
func Run(ctx context.Context, o Options, updates <-chan Update, c Controls) error {
	m, err := newModel(o, c)
	if err != nil {
		return err
	}
	var crash Crash
	g := &guarded{model: m, crash: &crash}
	p := tea.NewProgram(g, o.program()...)
	g.quit = p.Quit
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	asked := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-signals:
		}
		close(asked)
		p.Quit()
	}()
	go forward(ctx, p, updates)

	_, err = p.Run()
	return errors.Join(crash.Err(), ended(err, asked))
}

// ended tells what went wrong; a terminal that is gone says nothing new after the signal that told it.
func ended(err error, asked <-chan struct{}) error {
	select {
	case <-asked:
		return nil
	default:
	}
	if err == nil || errors.Is(err, tea.ErrInterrupted) {
		return nil
	}
	return fmt.Errorf("show on the terminal: %w", err)
}

// program are the options of bubbletea. Its own handler of signals knows neither SIGHUP nor SIGQUIT, and can wait for
// ever; its own look for colours starts tmux.
func (o *Options) program() []tea.ProgramOption {
	profile := colorprofile.ASCII
	if o.Color {
		profile = colorprofile.ANSI
	}
	options := []tea.ProgramOption{
		tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler(), tea.WithColorProfile(profile),
	}
	if o.Out != nil {
		options = append(options, tea.WithOutput(o.Out))
	}
	if o.In != nil && isTerminal(o.In) {
		options = append(options, tea.WithInput(o.In))
	}
	return options
}

// forward hands on the newest update there is.
func forward(ctx context.Context, p *tea.Program, updates <-chan Update) {
	for {
		select {
		case <-ctx.Done():
			return
		case u, ok := <-updates:
			if !ok {
				return
			}
			p.Send(newest(u, updates))
		}
	}
}

// newest takes what waits in updates, but loses no note of those that it passes over.
func newest(u Update, updates <-chan Update) Update {
	for {
		select {
		case next, ok := <-updates:
			if !ok {
				return u
			}
			if next.Note == "" {
				next.Note = u.Note
			}
			u = next
		default:
			return u
		}
	}
}

// guarded keeps a panic of the model, and quits: the terminal is restored before anything is said.
type guarded struct {
	model *model
	crash *Crash
	quit  func()
	last  tea.View
}

func (g *guarded) Init() tea.Cmd { return g.model.Init() }

func (g *guarded) Update(msg tea.Msg) (m tea.Model, cmd tea.Cmd) {
	defer g.crash.Catch(func() { m, cmd = g, tea.Quit })
	_, cmd = g.model.Update(msg)
	return g, cmd
}

func (g *guarded) View() (v tea.View) {
	defer g.crash.Catch(func() { go g.quit() })
	if v = g.last; g.crash.Err() == nil {
		v = g.model.View()
		g.last = v
	}
	return v
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
