package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// use is what the processes of one name take.
type use struct {
	processes  int
	memory     int // resident bytes
	cpuSeconds float64
}

// ticksPerSecond is the unit of CPU times in /proc, 100 on every Linux that Go knows.
const ticksPerSecond = 100

// status prints the ready nodes and what each component uses.
func status(dir string) error {
	first := alive(dir)
	if first == 0 {
		return fmt.Errorf("no cluster runs in %s", dir)
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	fmt.Printf("pid %d, %d of %d node(s) ready\n", first, c.readyNodes(), c.Nodes)
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		return err
	}
	uses := usesIn(namespace)
	names := slices.SortedFunc(maps.Keys(uses), func(a, b string) int { return cmp.Compare(uses[b].memory, uses[a].memory) })
	total := 0
	for _, name := range names {
		u := uses[name]
		fmt.Printf("%-28s x%d %5d MiB %7.2f s CPU\n", name, u.processes, u.memory>>20, u.cpuSeconds)
		total += u.memory
	}
	fmt.Printf("%-28s    %5d MiB\n", "total", total>>20)
	return nil
}

// usesIn sums up the processes of a PID namespace, by component. Containers have PID namespaces of their own and are
// not counted.
func usesIn(namespace string) map[string]use {
	uses := map[string]use{}
	for pid, argv := range processes() {
		if at, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || at != namespace {
			continue
		}
		name := filepath.Base(argv[0])
		if (name == "kube" || name == "cluster") && len(argv) > 1 {
			name = argv[1]
		}
		memory, err := residentBytes(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		u := uses[name]
		u.processes++
		u.memory += memory
		u.cpuSeconds += cpuSeconds(pid)
		uses[name] = u
	}
	return uses
}

// processes gives the arguments of every process that has some.
func processes() map[int][]string {
	found := map[int][]string{}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 {
			continue // ended, or the kernel's own
		}
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil {
			found[pid] = strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		}
	}
	return found
}

func residentBytes(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of %d: %q", pid, data)
	}
	pages, err := strconv.Atoi(fields[1])
	return pages * os.Getpagesize(), err
}

// cpuSeconds is user and system time so far, or 0 for a process that has ended.
func cpuSeconds(pid int) (seconds float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	for _, field := range fields[11:13] {
		if ticks, err := strconv.ParseFloat(field, 64); err == nil {
			seconds += ticks / ticksPerSecond
		}
	}
	return seconds
}
