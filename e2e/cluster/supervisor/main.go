// Command cluster runs a throw-away Kubernetes inside its own PID, mount, network, UTS and IPC namespaces, so that
// ending it is ending one process: the kernel then takes back every component, shim, container, mount, interface,
// route and packet-filter rule. Only the state folder, the cgroups and the host's end of the wire go by hand.
//
// The program is both sides of that wall. Outside are the verbs (up.go, down.go, status.go, control.go). Inside are
// the supervisors, one a node: `up` starts the first as PID 1 of the cluster, and that starts those of further nodes
// (node.go, supervise.go). Which process runs with which flags is components.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const usage = `usage: cluster VERB [-dir DIR] ...

  up [-nodes N] [-id 0..7]    start a cluster, or wait until the one that runs is ready; prints an export line
  down                        end it and remove its state
  reboot                      end every process at once, as a power cut does, and start again with what the disks hold
  status                      ready nodes, memory and CPU time of each component
  stop COMPONENT              kill a component and keep it down: kube-apiserver, etcd, registry, n2-kubelet ...
  start COMPONENT             let it run again
  exec NODE COMMAND...        run a command in the namespaces of node 1, 2 ...`

// upWithin is how long up waits for a ready cluster: ten times what it took at worst beside other builds.
const upWithin = 2 * time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] { // what this program starts itself as
	case superviseVerb:
		return superviseNode(args[1:])
	case pauseVerb:
		return pause()
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	var wanted Cluster
	var bin string
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	flags.StringVar(&wanted.Dir, "dir", filepath.Join(cache, "cluster"), "state folder, made by up and removed by down")
	flags.StringVar(&bin, "bin", filepath.Join(cache, "bin"), "folder of the kube and coredns binaries")
	flags.IntVar(&wanted.ID, "id", 1, "0-7: picks the addresses, so that clusters can run side by side")
	flags.IntVar(&wanted.Nodes, "nodes", 1, "number of nodes, 1-9")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if wanted.Dir, err = filepath.Abs(wanted.Dir); err != nil {
		return err
	}
	switch verb, rest := args[0], flags.Args(); verb {
	case "up":
		return up(wanted, bin)
	case "down":
		return down(wanted.Dir)
	case "reboot":
		return reboot(wanted.Dir)
	case "status":
		return status(wanted.Dir)
	case "stop", "start":
		if len(rest) != 1 {
			return fmt.Errorf("%s takes the name of one component", verb)
		}
		return control(wanted.Dir, verb, rest[0])
	case "exec":
		return execInNode(wanted.Dir, rest)
	default:
		return fmt.Errorf("unknown verb %q\n%s", verb, usage)
	}
}

// cacheDir is where the project keeps what is built once for a machine.
func cacheDir() (string, error) {
	if dir := os.Getenv("HOTBAY_CACHE"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "hotbay"), err
}

// execInNode becomes the command, in the namespaces of a node.
func execInNode(dir string, args []string) error {
	if len(args) < 2 {
		return errors.New("exec takes a node's number and a command")
	}
	node, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%q is no node's number", args[0])
	}
	pid, found := supervisorPIDs(dir)[node]
	if !found {
		return fmt.Errorf("no node %d runs in %s", node, dir)
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	argv := []string{"nsenter", "-t", strconv.Itoa(pid), "-m", "-n", "-p", "-u", "-i", "--"}
	return syscall.Exec(nsenter, append(argv, args[1:]...), os.Environ())
}
