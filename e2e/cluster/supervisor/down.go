package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// goneWithin is how long the kernel may take to end the processes and take back the network namespaces, which it
// does in the background; 5.3 s was seen with every core busy.
const goneWithin = time.Minute

// down ends the cluster whose state is in dir, if any, and removes what it leaves.
func down(dir string) error {
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	return remove(dir)
}

// remove is down under the lock.
func remove(dir string) error {
	c, err := load(dir)
	if os.IsNotExist(err) {
		if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
			return fmt.Errorf("%s holds a pid but no cluster.json, so it is no cluster's state folder", dir)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the state in %s: %w", dir, err)
	}
	if err := end(c); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// end kills the cluster's processes, if any, and removes all that they leave outside the state folder.
func end(c Cluster) error {
	deadline := time.Now().Add(goneWithin)
	if pid := alive(c.Dir); pid != 0 {
		// it is the init of the PID namespace: all the processes in there die with it
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill the cluster's first process: %w", err)
		}
		if !within(deadline, func() bool { return alive(c.Dir) == 0 }) {
			return fmt.Errorf("process %d does not die", pid)
		}
	}
	// a namespace that is slow to go keeps its end, so the wire is cut here; it may be gone already
	if _, err := net.InterfaceByName(c.HostLink()); err == nil {
		if err := ip("link del " + c.HostLink()); err != nil && hasLink(c.HostLink())() {
			return err
		}
	}
	gone := func() bool { return removeCgroups(c) && !hasLink(c.HostLink())() }
	if !within(deadline, gone) {
		return fmt.Errorf("cgroups %s or interface %s are still there", c.Cgroup(), c.HostLink())
	}
	return nil
}

// within asks every 50 ms whether something is so, until the deadline.
func within(deadline time.Time, so func() bool) bool {
	for !so() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
	return true
}

// hasLink asks whether an interface is there.
func hasLink(name string) func() bool {
	return func() bool {
		_, err := net.InterfaceByName(name)
		return err == nil
	}
}

// cgroupRoots gives the mounted hierarchies: one for version 2, one for each controller for version 1.
func cgroupRoots() (roots []string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			roots = append(roots, fields[1])
		}
	}
	return roots
}

// removeCgroups removes the cluster's cgroup from every hierarchy, and says whether it is gone from all.
func removeCgroups(c Cluster) bool {
	gone := true
	for _, root := range cgroupRoots() {
		if !removeCgroup(filepath.Join(root, c.Cgroup())) {
			gone = false
		}
	}
	return gone
}

func removeCgroup(path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil {
		return os.IsNotExist(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroup(filepath.Join(path, entry.Name()))
		}
	}
	return syscall.Rmdir(path) == nil
}
