package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// writeState makes the state folder: authority and certificates, a token and a kubeconfig for each user, and every
// component's configuration. Nobody but root may look into it.
func writeState(c *Cluster) error {
	if err := os.MkdirAll(c.path("log"), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(c.Dir, 0o700); err != nil {
		return err
	}
	ca, err := writePKI(*c)
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	c.CA = ca
	if err := writeUsers(c); err != nil {
		return fmt.Errorf("make users: %w", err)
	}
	if err := writeConfiguration(*c); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := writePauseImage(c.path("pause.tar")); err != nil {
		return fmt.Errorf("make the sandbox image: %w", err)
	}
	return c.save()
}

// user is one line of the API server's token file; its kubeconfig is DIR/<file>.
type user struct{ file, name, group string }

// users are the administrator, the components, and the nodes.
func users(nodes int) []user {
	all := []user{
		{"kubeconfig", "admin", "system:masters"},
		{"kubeconfig.controllers", "system:kube-controller-manager", ""},
		{"kubeconfig.scheduler", "system:kube-scheduler", ""},
		{"kubeconfig.proxy", "system:kube-proxy", ""},
		{"kubeconfig.coredns", "system:coredns", ""},
	}
	for i := 1; i <= nodes; i++ {
		all = append(all, user{"kubeconfig." + nodeName(i), "system:node:" + nodeName(i), "system:nodes"})
	}
	return all
}

func writeUsers(c *Cluster) error {
	var lines strings.Builder
	for _, u := range users(c.Nodes) {
		secret := make([]byte, 24)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		token := hex.EncodeToString(secret)
		fmt.Fprintf(&lines, "%s,%s,%s,%q\n", token, u.name, u.name, u.group)
		if err := (view{Cluster: *c, UserToken: token}).render("kubeconfig", c.path(u.file), 0o600); err != nil {
			return err
		}
		if u.name == "admin" {
			c.Token = token
		}
	}
	return os.WriteFile(c.path("pki/tokens.csv"), []byte(lines.String()), 0o600)
}

func writeConfiguration(c Cluster) error {
	type file struct {
		view     view
		name, to string
	}
	whole := view{Cluster: c}
	files := []file{
		{whole, "hosts.toml", "certs.d/_default/hosts.toml"},
		{whole, "registry.yaml", "registry.yaml"},
		{whole, "Corefile", "Corefile"},
		{whole, "resolv.conf", "resolv.conf"},
		{whole, "bootstrap.json", "bootstrap.json"},
	}
	for i := 1; i <= c.Nodes; i++ {
		one := view{Cluster: c, N: i}
		files = append(files,
			file{one, "containerd.toml", nodeName(i) + "/containerd.toml"},
			file{one, "cni.conflist", nodeName(i) + "/cni/10-pods.conflist"},
			file{one, "kubelet.yaml", nodeName(i) + "/kubelet.yaml"})
	}
	for _, f := range files {
		if err := f.view.render(f.name, c.path(f.to), 0o644); err != nil {
			return err
		}
	}
	return nil
}
