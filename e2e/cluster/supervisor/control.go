package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The verbs stop and start reach a node's supervisor over a Unix socket in its folder: a line "stop NAME" or "start
// NAME", answered by "ok" or by what is wrong. A path leads through the network namespaces, where an address would not.

// answerWithin bounds a verb; a kill or a start takes a second at most.
const answerWithin = 30 * time.Second

func controlSocket(dir string, node int) string {
	return filepath.Join(dir, nodeName(node), "control.sock")
}

// control asks the node that has the component: n2-kubelet is node 2's, and what has no such prefix is node 1's.
func control(dir, verb, name string) error {
	if alive(dir) == 0 {
		return fmt.Errorf("no cluster runs in %s", dir)
	}
	node := 1
	if prefix, _, found := strings.Cut(name, "-"); found && strings.HasPrefix(prefix, "n") {
		if i, err := strconv.Atoi(prefix[1:]); err == nil {
			node = i
		}
	}
	connection, err := net.Dial("unix", controlSocket(dir, node))
	if err != nil {
		return fmt.Errorf("reach the supervisor of node %d: %w", node, err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(connection, "%s %s\n", verb, name); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s %s: no answer: %w", verb, name, err)
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return fmt.Errorf("%s", answer)
	}
	return nil
}

// serveControl answers on the node's socket, for ever.
func (s *supervisor) serveControl() error {
	socket := controlSocket(s.Dir, s.node)
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) { // a supervisor's that ended before this one
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				logf("control: %v", err)
				return
			}
			go s.answer(connection)
		}
	}()
	return nil
}

func (s *supervisor) answer(connection net.Conn) {
	defer connection.Close()
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return
	}
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "stop":
		err = s.stop(name)
	case "start":
		err = s.start(name)
	default:
		err = fmt.Errorf("unknown verb %q", verb)
	}
	if err != nil {
		fmt.Fprintln(connection, err)
		return
	}
	fmt.Fprintln(connection, "ok")
}
