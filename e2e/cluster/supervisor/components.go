package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
)

// This file says which processes a cluster is made of, and why their flags are as they are.

// keepControlPlane starts what does not need the API server, and the API server.
func (s *supervisor) keepControlPlane() {
	s.keep("etcd", s.Kube, "etcd", "--dir", s.path("etcd"))
	s.keep("registry", "docker-registry", "serve", s.path("registry.yaml"))
	pki := func(file string) string { return s.path("pki", file) }
	s.keep("kube-apiserver", s.Kube, "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address="+s.NodeIP(1),
		"--secure-port=6443",
		"--service-cluster-ip-range="+s.ServicesCIDR(),
		"--tls-cert-file="+pki("apiserver.crt"),
		"--tls-private-key-file="+pki("apiserver.key"),
		"--client-ca-file="+pki("ca.crt"),
		"--token-auth-file="+pki("tokens.csv"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+pki("sa.key"),
		"--service-account-signing-key-file="+pki("sa.key"),
		// logs and exec: the kubelets refuse anonymous calls, and node names do not resolve here
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority="+pki("ca.crt"),
		"--kubelet-client-certificate="+pki("kubelet-client.crt"),
		"--kubelet-client-key="+pki("kubelet-client.key"),
		// aggregated APIs
		"--requestheader-client-ca-file="+pki("ca.crt"),
		"--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+pki("front-proxy.crt"),
		"--proxy-client-key-file="+pki("front-proxy.key"))
}

// bootstrap starts what needs the API server, and makes cluster DNS.
func (s *supervisor) bootstrap() error {
	if err := s.awaitAPIServer(); err != nil {
		return err
	}
	controllers, scheduler := s.path("kubeconfig.controllers"), s.path("kubeconfig.scheduler")
	s.keep("kube-controller-manager", s.Kube, "kube-controller-manager",
		"--kubeconfig="+controllers,
		"--authentication-kubeconfig="+controllers,
		"--authorization-kubeconfig="+controllers,
		"--service-account-private-key-file="+s.path("pki/sa.key"),
		"--root-ca-file="+s.path("pki/ca.crt"),
		"--cluster-signing-cert-file="+s.path("pki/ca.crt"),
		"--cluster-signing-key-file="+s.path("pki/ca.key"),
		"--use-service-account-credentials",
		// A test stops the API server for a minute. With the default of 50 s the node would then be taken for lost, and
		// for a minute more, since the controllers' watches pause as long as the outage did.
		"--node-monitor-grace-period=150s",
		// with the default of 20 a second the first service accounts come 5 s later
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--leader-elect=false",
		"--bind-address=127.0.0.1")
	s.keep("kube-scheduler", s.Kube, "kube-scheduler",
		"--kubeconfig="+scheduler,
		"--authentication-kubeconfig="+scheduler,
		"--authorization-kubeconfig="+scheduler,
		"--leader-elect=false",
		"--bind-address=127.0.0.1")
	if err := s.createBootstrapObjects(); err != nil {
		return err
	}
	s.keep("coredns", s.CoreDNS, "-conf", s.path("Corefile"))
	return nil
}

// createBootstrapObjects makes the Service of cluster DNS, which runs beside the pods and not in one, and its rights.
func (s *supervisor) createBootstrapObjects() error {
	data, err := os.ReadFile(s.path("bootstrap.json"))
	if err != nil {
		return err
	}
	var objects []struct {
		Path string
		Body json.RawMessage
	}
	if err := json.Unmarshal(data, &objects); err != nil {
		return fmt.Errorf("bootstrap.json: %w", err)
	}
	for _, object := range objects {
		var last string
		created := func() bool {
			status, answer, err := s.api(http.MethodPost, object.Path, string(object.Body))
			last = fmt.Sprint(status, " ", string(answer), " ", err)
			return status == http.StatusCreated || status == http.StatusConflict
		}
		// refused at first, while the API server still makes its own roles and ranges
		if err := await("the creation of "+object.Path, created); err != nil {
			return fmt.Errorf("%w: %s", err, last)
		}
	}
	return nil
}

// serveNode starts what every node has, and then waits for ever.
func (s *supervisor) serveNode() error {
	name := nodeName(s.node)
	s.keep(name+"-containerd", "containerd", "--config", s.path(name, "containerd.toml"))
	socket := func() bool { _, err := os.Stat("/run/containerd/containerd.sock"); return err == nil }
	if err := await("containerd", socket); err != nil {
		return err
	}
	if err := s.do("ctr", "-n", "k8s.io", "images", "import", s.path("pause.tar")); err != nil {
		return err
	}
	if err := s.awaitAPIServer(); err != nil {
		return err
	}
	s.keep(name+"-kube-proxy", s.Kube, "kube-proxy",
		"--kubeconfig="+s.path("kubeconfig.proxy"),
		"--proxy-mode=nftables",
		"--cluster-cidr="+s.PodsCIDR(),
		"--hostname-override="+name,
		"--nodeport-addresses=primary",
		// not writable outside the machine's first network namespace
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
	s.keep(name+"-kubelet", s.Kube, "kubelet",
		"--config="+s.path(name, "kubelet.yaml"),
		"--kubeconfig="+s.path("kubeconfig."+name),
		"--hostname-override="+name,
		"--node-ip="+s.NodeIP(s.node),
		"--root-dir=/var/lib/kubelet")
	select {}
}

func (s *supervisor) awaitAPIServer() error {
	return await("the API server", func() bool { return s.answers("/readyz") })
}

// supervisorPIDs gives the PIDs of the nodes' supervisors, by node, as this process sees them.
func supervisorPIDs(dir string) map[int]int {
	pids := map[int]int{}
	for pid, argv := range processes() {
		if len(argv) == 4 && argv[1] == superviseVerb && argv[2] == dir {
			if node, err := strconv.Atoi(argv[3]); err == nil {
				pids[node] = pid
			}
		}
	}
	return pids
}
