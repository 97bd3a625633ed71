package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// up starts the cluster and waits until pods can be made. Where it runs already, up only waits; what one that died
// left behind is removed first.
func up(wanted Cluster, bin string) error {
	unlock, err := lock(wanted.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	if running, err := load(wanted.Dir); err == nil && alive(wanted.Dir) != 0 {
		if running.Nodes != wanted.Nodes || running.ID != wanted.ID {
			return fmt.Errorf("a cluster with id %d and %d node(s) runs in %s: take it down first",
				running.ID, running.Nodes, running.Dir)
		}
		return waitReady(running, began)
	}
	if err := remove(wanted.Dir); err != nil {
		return err
	}
	if err := wanted.check(); err != nil {
		return err
	}
	if err := enoughDisk(filepath.Dir(wanted.Dir), leastDisk); err != nil {
		return err
	}
	if _, err := net.InterfaceByName(wanted.HostLink()); err == nil {
		return fmt.Errorf("interface %s exists: another cluster has id %d", wanted.HostLink(), wanted.ID)
	}
	if err := wanted.findBinaries(bin); err != nil {
		return err
	}
	if err := writeState(&wanted); err != nil {
		return err
	}
	if err := launch(wanted); err != nil {
		return err
	}
	return waitReady(wanted, began)
}

// leastDisk is thrice what a cluster, the images in its registry and a run of the tests took, 340 MiB, in bytes: etcd stops on a full disk.
const leastDisk = 1 << 30

// enoughDisk refuses a folder that has less free than that: nodes do not mind a disk that is nearly full, so no part would say what is wrong.
func enoughDisk(dir string, least uint64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("see how much is free in %s: %w", dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < least {
		return fmt.Errorf("%d MiB are free in %s and the cluster needs %d: remove what you do not need, such as %s",
			free>>20, dir, least>>20, "target/debug/incremental")
	}
	return nil
}

// findBinaries follows the links in bin, so that a tool built anew does not change under a running cluster.
func (c *Cluster) findBinaries(bin string) error {
	for name, path := range map[string]*string{"kube": &c.Kube, "coredns": &c.CoreDNS} {
		found, err := filepath.EvalSymlinks(filepath.Join(bin, name))
		if err != nil {
			return fmt.Errorf("no %s in %s (%w): run scripts/tools", name, bin, err)
		}
		*path = found
	}
	for _, program := range []string{"containerd", "runc", "ctr", "docker-registry", "ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: run scripts/deps", err)
		}
	}
	return nil
}

// launch starts the first supervisor in new namespaces and lays the wire from the host to it.
func launch(c Cluster) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.path("log/supervisor.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, superviseVerb, c.Dir, "1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID | nodeNamespaces}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	pid := cmd.Process.Pid
	mark := fmt.Sprintln(pid, startTime(pid))
	if err := os.WriteFile(c.path("pid"), []byte(mark), 0o600); err != nil {
		return err
	}
	// the wire goes when the cluster's network namespace goes, and its routes with it
	lines := []string{
		fmt.Sprintf("link add %s type veth peer name %s netns %d", c.HostLink(), wireInside, pid),
		fmt.Sprintf("addr add %s/24 dev %s", c.NodeIP(254), c.HostLink()),
		fmt.Sprintf("link set %s up", c.HostLink()),
		fmt.Sprintf("route add %s via %s", c.ServicesCIDR(), c.NodeIP(1)),
	}
	for _, line := range append(lines, podRoutes(c, 0)...) {
		if err := ip(line); err != nil {
			return err
		}
	}
	return nil
}

// ip runs the program ip with the words of the line.
func ip(line string) error {
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, bytes.TrimSpace(out))
	}
	return nil
}

// podRoutes are the lines for ip that lead to the pods of every node but one.
func podRoutes(c Cluster, but int) (lines []string) {
	for i := 1; i <= c.Nodes; i++ {
		if i != but {
			lines = append(lines, fmt.Sprintf("route add %s via %s", c.PodCIDR(i), c.NodeIP(i)))
		}
	}
	return lines
}

// waitReady waits until nodes, the default service account and cluster DNS are there, and prints how to use them.
func waitReady(c Cluster, began time.Time) error {
	for time.Since(began) < upWithin {
		if alive(c.Dir) == 0 {
			return fmt.Errorf("the cluster died: see %s", c.path("log/supervisor.log"))
		}
		if c.readyNodes() == c.Nodes &&
			c.answers("/api/v1/namespaces/default/serviceaccounts/default") &&
			c.answers("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-host") {
			fmt.Fprintf(os.Stderr, "%d node(s) ready after %.1f s\n", c.Nodes, time.Since(began).Seconds())
			fmt.Printf("export KUBECONFIG=%s REGISTRY=%s:5000\n", c.path("kubeconfig"), c.NodeIP(1))
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("not ready after %s: see %s", upWithin, c.path("log"))
}

// lock makes up and down of one state folder wait for each other.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { file.Close() }, nil
}

// alive gives the PID of the cluster whose state is in dir, or 0.
func alive(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return 0
	}
	var pid int
	var started string
	if _, err := fmt.Sscan(string(data), &pid, &started); err != nil {
		return 0
	}
	if pid > 1 && started != "" && startTime(pid) == started {
		return pid
	}
	return 0
}

// startTime is field 22 of /proc/PID/stat, or "" if the process has ended: with the PID it names one process for
// ever, where a PID alone is used again.
func startTime(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
