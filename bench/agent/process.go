package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maxLog bounds what is kept of an agent's output, in bytes.
const maxLog = 64 << 10

// Launcher is the benchmark's own program, which joins a control group and then becomes the agent (BecomeIfAsked), so that
// all of the agent's memory is counted there. Empty: agents are started without a group.
type Launcher struct{ Path string }

// Process is an agent which was started.
type Process struct {
	Started time.Time

	process *os.Process
	done    chan struct{}
	log     tail

	mu    sync.Mutex
	state *os.ProcessState // nil while it runs
}

// Start starts the agent, in the control group in groupDir unless that is empty. It is killed when this process dies.
// The caller ends it by Stop or Kill.
func (a *Agent) Start(c Config, l Launcher, groupDir string) (*Process, error) {
	command := slices.Concat(c.Wrapper, []string{a.Path}, a.Args(c), c.Args)
	if groupDir != "" {
		command = l.Command(groupDir, command...)
	}
	p := &Process{done: make(chan struct{})}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // its end is Stop's and Kill's
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread ends, so the thread has to live as long as the agent.
		runtime.LockOSThread()
		p.Started = time.Now()
		err := cmd.Start()
		if err != nil {
			started <- fmt.Errorf("start %s: %w", a.Name, err)
			return
		}
		p.process = cmd.Process
		started <- nil
		_ = cmd.Wait() // the state says all
		p.mu.Lock()
		p.state = cmd.ProcessState
		p.mu.Unlock()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the agent's process id.
func (p *Process) PID() int { return p.process.Pid }

// Done is closed when the agent has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says how the agent ended, or "" while it runs.
func (p *Process) Ended() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return ""
	}
	return p.state.String()
}

// Log is the end of what the agent wrote.
func (p *Process) Log() string { return p.log.String() }

// Reload asks the agent to read its configuration again.
func (p *Process) Reload() error { return p.signal(syscall.SIGHUP) }

func (p *Process) signal(s os.Signal) error {
	if err := p.process.Signal(s); err != nil {
		return fmt.Errorf("signal the agent: %w", err)
	}
	return nil
}

// Stop asks the agent to end, kills it if it does not within the grace, and returns how long it took.
func (p *Process) Stop(grace time.Duration) time.Duration {
	begun := time.Now()
	_ = p.signal(syscall.SIGTERM) // if it has ended, good
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
	return time.Since(begun)
}

// Kill kills the agent, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// tail keeps the last maxLog bytes of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if n := t.buf.Len() - maxLog; n > 0 {
		t.buf.Next(n)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
