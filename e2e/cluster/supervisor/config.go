package main

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// conf holds the components' configuration files, templates over a [view].
//
//go:embed conf
var conf embed.FS

// Cluster is what the verbs and the supervisors know of a cluster, kept in DIR/cluster.json.
type Cluster struct {
	Dir     string // state folder, absolute
	ID      int    // picks the addresses
	Nodes   int
	Kube    string // path of the kube binary
	CoreDNS string // path of the coredns binary
	CA      []byte // certificate of the authority, PEM
	Token   string // the administrator's bearer token
}

// view is what a template sees: the cluster, the node it is rendered for, and the token of the user it is for.
type view struct {
	Cluster
	N         int
	UserToken string
}

// Addresses for id k: nodes 198.18.(16k).i/24 with the host as .254, pods 198.18.(128+16k+i).0/24, services
// 198.19.(16k).0/24. 198.18.0.0/15 is reserved for tests, so it hides nothing. The pods' /20 must not contain the
// nodes, or kube-proxy does not masquerade from the host to a Service.

// NodeIP is the address of node i; 254 is the host's end of the wire.
func (c Cluster) NodeIP(i int) string { return fmt.Sprintf("198.18.%d.%d", 16*c.ID, i) }

// PodCIDR is the range of node i's pods.
func (c Cluster) PodCIDR(i int) string { return fmt.Sprintf("198.18.%d.0/24", 128+16*c.ID+i) }

// PodsCIDR is the range of all pods.
func (c Cluster) PodsCIDR() string { return fmt.Sprintf("198.18.%d.0/20", 128+16*c.ID) }

// ServiceIP is the i-th address for Services; the first is the API server's.
func (c Cluster) ServiceIP(i int) string { return fmt.Sprintf("198.19.%d.%d", 16*c.ID, i) }

// ServicesCIDR is the range of all Services.
func (c Cluster) ServicesCIDR() string { return c.ServiceIP(0) + "/24" }

// DNSIP is the address of the Service kube-dns.
func (c Cluster) DNSIP() string { return c.ServiceIP(10) }

// Cgroup is the cluster's cgroup in every hierarchy.
func (c Cluster) Cgroup() string { return fmt.Sprintf("/kcluster%d", c.ID) }

// HostLink is the name of the host's end of the wire.
func (c Cluster) HostLink() string { return fmt.Sprintf("kcluster%d", c.ID) }

// CAData is the authority's certificate as a kubeconfig wants it.
func (c Cluster) CAData() string { return base64.StdEncoding.EncodeToString(c.CA) }

// path is a path in the state folder.
func (c Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

// nodeName is the name of node i, in Kubernetes and as its folder.
func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

// check refuses what cannot be started, before anything is made.
func (c Cluster) check() error {
	if c.ID < 0 || c.ID > 7 || c.Nodes < 1 || c.Nodes > 9 {
		return fmt.Errorf("-id must be 0-7 and -nodes 1-9, not %d and %d", c.ID, c.Nodes)
	}
	// the supervisors mount over some of these, and the state would vanish from their sight
	for _, bad := range []string{"/run", "/var", "/proc", "/sys", "/dev"} {
		if c.Dir == bad || strings.HasPrefix(c.Dir, bad+"/") {
			return fmt.Errorf("the state folder %s may not be under %s: choose another with -dir", c.Dir, bad)
		}
	}
	return nil
}

// save writes cluster.json.
func (c Cluster) save() error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(c.path("cluster.json"), data, 0o600)
}

// load reads DIR/cluster.json.
func load(dir string) (Cluster, error) {
	var c Cluster
	data, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

// render writes a template of conf to a file.
func (v view) render(name, to string, mode os.FileMode) error {
	text, err := conf.ReadFile("conf/" + name)
	if err != nil {
		return err
	}
	parsed, err := template.New(name).Parse(string(text))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, v); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), mode)
}
