package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// This file makes a node out of a set of namespaces: its mounts, its links, its cgroups. components.go then fills it.

const (
	// superviseVerb is what this program is started as inside: _supervise DIR NODE.
	superviseVerb = "_supervise"
	// nodeNamespaces are a node's own; the PID namespace is shared by the whole cluster.
	nodeNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	// wireInside is the cluster's end of the wire to the host.
	wireInside = "host0"
	// bridge joins the nodes and the wire, in node 1's network namespace.
	bridge = "nodes0"
	// startWithin bounds what a node waits for while it starts.
	startWithin = time.Minute
)

// superviseNode runs a node. It returns only if that cannot be set up; for node 1, which is PID 1, this ends the
// cluster, and `up` says where the log is.
func superviseNode(args []string) error {
	if len(args) != 2 {
		return errors.New("not a verb for people")
	}
	c, err := load(args[0])
	if err != nil {
		return err
	}
	node, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s := newSupervisor(c, node)
	go s.reap()
	if err := s.serveControl(); err != nil {
		return err
	}
	if node == 1 {
		return s.runFirstNode()
	}
	return s.runFurtherNode()
}

// runFirstNode is node 1 with the control plane, the registry, DNS, and the supervisors of the other nodes.
func (s *supervisor) runFirstNode() error {
	if err := s.mountOwn(); err != nil {
		return err
	}
	if err := await("the wire to the host", hasLink(wireInside)); err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		"link add " + bridge + " type bridge",
		fmt.Sprintf("addr add %s/24 dev %s", s.NodeIP(1), bridge),
		fmt.Sprintf("link set %s master %s", wireInside, bridge),
		fmt.Sprintf("link set %s up", wireInside),
		fmt.Sprintf("link set %s up", bridge),
		"route add default via " + s.NodeIP(254),
	}
	if err := s.ip(append(lines, podRoutes(s.Cluster, 1)...)...); err != nil {
		return err
	}
	s.keepControlPlane()
	if err := s.keepFurtherNodes(); err != nil {
		return err
	}
	go func() {
		if err := s.bootstrap(); err != nil {
			logf("%v", err)
			os.Exit(1)
		}
	}()
	return s.serveNode()
}

// keepFurtherNodes starts the supervisors of nodes 2 and up, each in namespaces of its own.
func (s *supervisor) keepFurtherNodes() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := 2; i <= s.Nodes; i++ {
		s.keepIn(nodeNamespaces, nodeName(i), self, superviseVerb, s.Dir, strconv.Itoa(i))
	}
	return nil
}

// runFurtherNode is a node that has nothing but pods.
func (s *supervisor) runFurtherNode() error {
	peer := nodeName(s.node)
	// the wire is made from this side, into the network namespace of PID 1
	if err := s.ip("link add eth0 type veth peer name " + peer + " netns 1"); err != nil {
		return err
	}
	if err := s.do("nsenter", "-t", "1", "-n", "ip", "link", "set", peer, "master", bridge, "up"); err != nil {
		return err
	}
	if err := s.mountOwn(); err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		fmt.Sprintf("addr add %s/24 dev eth0", s.NodeIP(s.node)),
		"link set eth0 up",
		"route add default via " + s.NodeIP(254),
		fmt.Sprintf("route add %s via %s", s.ServicesCIDR(), s.NodeIP(1)),
	}
	if err := s.ip(append(lines, podRoutes(s.Cluster, s.node)...)...); err != nil {
		return err
	}
	return s.serveNode()
}

// mountOwn gives the node its own name, its cgroup, and its own /run, /var/lib and /var/log out of the state folder,
// so that containerd, the kubelet and the CNI plugins use their usual paths and leave nothing on the host.
func (s *supervisor) mountOwn() error {
	if err := syscall.Sethostname([]byte(nodeName(s.node))); err != nil {
		return err
	}
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_SLAVE); err != nil {
		return err
	}
	for _, dir := range []string{"run", "var/lib", "var/log"} {
		own := s.path(nodeName(s.node), dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := mount(own, "/"+dir, "", syscall.MS_BIND); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/lock", "/var/lib/kubelet", "/var/log/pods"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if s.node == 1 {
		if err := s.mountProc(); err != nil {
			return err
		}
	}
	// the kubelet wants mounts in its folder to reach the containers
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED); err != nil {
		return err
	}
	if err := writeAll(map[string]string{
		"/proc/sys/net/ipv4/ip_forward": "1",
		// else a killed component's half-closed connections to a node that went first hold the namespace for a minute
		"/proc/sys/net/ipv4/tcp_orphan_retries": "1",
	}); err != nil {
		return err
	}
	return s.makeCgroups()
}

// mountProc gives the cluster a /proc of its own PID namespace, in which the kubelet finds the settings it wants for
// the whole machine already made, so that it leaves the machine's alone.
func (s *supervisor) mountProc() error {
	if err := mount("proc", "/proc", "proc", 0); err != nil {
		return err
	}
	// A second one with nothing mounted over its files: else the kernel refuses /proc to a container in a user namespace.
	if err := os.MkdirAll(s.path("proc"), 0o755); err != nil {
		return err
	}
	if err := mount("proc", s.path("proc"), "proc", 0); err != nil {
		return err
	}
	for setting, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		own := s.path("sysctl", setting)
		if err := writeAll(map[string]string{own: value + "\n"}); err != nil {
			return err
		}
		if err := mount(own, "/proc/sys/"+setting, "", syscall.MS_BIND); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr) error {
	if err := syscall.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}

// makeCgroups makes the node's cgroup in every hierarchy, of version 1 and of version 2.
func (s *supervisor) makeCgroups() error {
	for _, path := range cgroupRoots() {
		for _, part := range []string{s.Cgroup(), nodeName(s.node)} {
			parent := path
			path = filepath.Join(path, part)
			passControllersOn(parent)
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // version 1: a new cpuset is empty
				if value, err := os.ReadFile(filepath.Join(parent, file)); err == nil {
					if err := os.WriteFile(filepath.Join(path, file), value, 0o644); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// passControllersOn lets the children of a version 2 cgroup use its controllers, one at a time, since some may be
// refused; the kubelet says which it misses.
func passControllersOn(path string) {
	controllers, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return // version 1
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			logf("cgroup controller %s in %s: %v", controller, path, err)
		}
	}
}

// await waits for something that a node needs to start.
func await(what string, so func() bool) error {
	if !within(time.Now().Add(startWithin), so) {
		return fmt.Errorf("gave up waiting for %s after %s", what, startWithin)
	}
	return nil
}
