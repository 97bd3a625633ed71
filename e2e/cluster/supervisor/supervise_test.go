package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shared is the one supervisor of all tests: it reaps every child of the process, so a second would take its exits.
var shared = sync.OnceValue(func() *supervisor {
	dir, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		panic(err)
	}
	s := newSupervisor(Cluster{Dir: dir}, 1)
	go s.reap()
	return s
})

func TestMain(m *testing.M) {
	status := m.Run()
	if err := os.RemoveAll(shared().Dir); err != nil {
		panic(err)
	}
	os.Exit(status)
}

// sleeper has the supervisor keep a component that sleeps, of the test's own name, and gives its first PID.
func sleeper(t *testing.T) (*supervisor, int) {
	t.Helper()
	s := shared()
	for _, dir := range []string{"log", "n1"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.keep(t.Name(), "sleep", "300")
	if err := s.start(t.Name()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(t.Name()); err != nil {
			t.Error(err)
		}
	})
	return s, s.pidOf(t.Name())
}

func (s *supervisor) pidOf(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.components[name].pid
}

func TestAComponentThatEndsIsStartedAgain(t *testing.T) {
	s, first := sleeper(t)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	another := func() bool { pid := s.pidOf(t.Name()); return pid != 0 && pid != first }
	if !within(time.Now().Add(time.Minute), another) {
		t.Fatal("the component was not started again")
	}
}

func TestAStoppedComponentIsGoneWhenStopReturnsAndBackAfterStart(t *testing.T) {
	s, first := sleeper(t)
	if err := s.stop(t.Name()); err != nil {
		t.Fatal(err)
	}
	if startTime(first) != "" {
		t.Fatalf("process %d still runs", first)
	}
	if err := s.stop(t.Name()); err != nil {
		t.Fatalf("a second stop: %v", err)
	}
	if err := s.start(t.Name()); err != nil {
		t.Fatal(err)
	}
	if again := s.pidOf(t.Name()); again == 0 || again == first {
		t.Fatalf("after start the PID is %d, before the stop it was %d", again, first)
	}
}

func TestTheControlSocketKeepsAComponentDownAndNamesTheKnownOnes(t *testing.T) {
	s, first := sleeper(t)
	if err := s.serveControl(); err != nil {
		t.Fatal(err)
	}
	// this process stands for the cluster's first one
	mark := strconv.Itoa(os.Getpid()) + " " + startTime(os.Getpid())
	if err := os.WriteFile(s.path("pid"), []byte(mark), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := control(s.Dir, "stop", t.Name()); err != nil {
		t.Fatal(err)
	}
	// longer than a restart takes: that something does not happen has no event
	time.Sleep(2 * restartAfter)
	if pid := s.pidOf(t.Name()); pid != 0 {
		t.Fatalf("runs again as %d, was %d", pid, first)
	}
	err := control(s.Dir, "start", "nobody")
	if err == nil || !strings.Contains(err.Error(), t.Name()) {
		t.Fatalf("an unknown name must be refused with the known ones, not with: %v", err)
	}
}
