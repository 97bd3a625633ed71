package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// restartAfter keeps a component that cannot start from spinning, and is short enough for tests that kill one.
const restartAfter = time.Second

// supervisor runs the components of one node inside the namespaces, starts them again when they end, and keeps down
// those it is told to. That of node 1 is PID 1, so it also reaps what is reparented to it, containerd's shims: one
// loop waits for all children, and nothing in here may use os/exec's Wait.
type supervisor struct {
	Cluster
	node int

	mu         sync.Mutex
	changed    *sync.Cond // a component's state did
	components map[string]*component
	exits      map[int]chan syscall.WaitStatus // who waits for which child
}

// component is a process that is kept running while it is wanted.
type component struct {
	argv       []string
	namespaces uintptr // new ones for it, as flags of clone
	wanted     bool
	pid        int // 0 while it does not run
}

func newSupervisor(c Cluster, node int) *supervisor {
	s := &supervisor{
		Cluster:    c,
		node:       node,
		components: map[string]*component{},
		exits:      map[int]chan syscall.WaitStatus{},
	}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// reap collects every child that ends, for ever.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil { // no child yet, and the kernel has no call that waits for the first
			time.Sleep(20 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		if waiting := s.exits[pid]; waiting != nil {
			waiting <- status
			delete(s.exits, pid)
		}
		s.mu.Unlock()
	}
}

// spawn starts a process with its output in log/<log>.log. The caller holds the lock, so that the process cannot be
// reaped before it is known here.
func (s *supervisor) spawn(log string, namespaces uintptr, argv []string) (int, chan syscall.WaitStatus, error) {
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, nil, err
	}
	out, err := os.OpenFile(s.path("log", log+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, nil, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	process, err := os.StartProcess(program, argv, &os.ProcAttr{
		Files: []*os.File{null, out, out},
		Env:   os.Environ(),
		Sys:   &syscall.SysProcAttr{Cloneflags: namespaces},
	})
	if err != nil {
		return 0, nil, err
	}
	pid := process.Pid
	exited := make(chan syscall.WaitStatus, 1)
	s.exits[pid] = exited
	return pid, exited, process.Release()
}

// do runs a command to its end.
func (s *supervisor) do(argv ...string) error {
	s.mu.Lock()
	_, exited, err := s.spawn("supervisor", 0, argv)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	if status := <-exited; status != 0 {
		return fmt.Errorf("%s: status %#x, see %s", strings.Join(argv, " "), status, s.path("log/supervisor.log"))
	}
	return nil
}

// ip runs the program ip once for each line.
func (s *supervisor) ip(lines ...string) error {
	for _, line := range lines {
		if err := s.do(append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return nil
}

// keep starts a component and keeps it running.
func (s *supervisor) keep(name string, argv ...string) { s.keepIn(0, name, argv...) }

// keepIn is keep for one that gets namespaces of its own.
func (s *supervisor) keepIn(namespaces uintptr, name string, argv ...string) {
	c := &component{argv: argv, namespaces: namespaces, wanted: true}
	s.mu.Lock()
	s.components[name] = c
	s.mu.Unlock()
	go func() {
		for {
			s.runOnce(name, c)
			time.Sleep(restartAfter)
		}
	}()
}

// runOnce waits until the component is wanted, starts it, and waits for its end.
func (s *supervisor) runOnce(name string, c *component) {
	s.mu.Lock()
	for !c.wanted {
		s.changed.Wait()
	}
	pid, exited, err := s.spawn(name, c.namespaces, c.argv)
	if err != nil {
		s.mu.Unlock()
		logf("%s does not start: %v", name, err)
		return
	}
	c.pid = pid
	s.changed.Broadcast()
	s.mu.Unlock()

	status := <-exited
	logf("%s ended with status %#x", name, status)
	s.mu.Lock()
	c.pid = 0
	s.changed.Broadcast()
	s.mu.Unlock()
}

// stop kills a component, as a crash would, and returns when it is gone; it stays down until start.
func (s *supervisor) stop(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(name)
	if err != nil {
		return err
	}
	c.wanted = false
	if c.pid != 0 {
		if err := syscall.Kill(c.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %s: %w", name, err)
		}
	}
	for c.pid != 0 {
		s.changed.Wait()
	}
	return nil
}

// start lets a component run again and returns when its process is there, which is not yet when it serves.
func (s *supervisor) start(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(name)
	if err != nil {
		return err
	}
	c.wanted = true
	s.changed.Broadcast()
	for c.pid == 0 && c.wanted {
		s.changed.Wait()
	}
	return nil
}

// find gives a component that stop and start may touch; the caller holds the lock. Another node's supervisor is none:
// its components would be left without one.
func (s *supervisor) find(name string) (*component, error) {
	if c := s.components[name]; c != nil && c.namespaces == 0 {
		return c, nil
	}
	var names []string
	for _, known := range slices.Sorted(maps.Keys(s.components)) {
		if s.components[known].namespaces == 0 {
			names = append(names, known)
		}
	}
	return nil, fmt.Errorf("no component %q on node %d, which has %s", name, s.node, strings.Join(names, ", "))
}

// logf writes a line to the supervisor's log.
func logf(format string, args ...any) {
	fmt.Printf("%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// writeAll writes each file with its text, making folders on the way.
func writeAll(files map[string]string) error {
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
