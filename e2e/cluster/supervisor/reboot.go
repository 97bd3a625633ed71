package main

import (
	"fmt"
	"os"
	"time"
)

// reboot ends a cluster as a power cut does and starts it again with what its disks hold: etcd, the registry, images,
// containers that have ended, the pods' volumes. Addresses, certificates and tokens stay, so KUBECONFIG does too.
func reboot(dir string) error {
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := load(dir)
	if err != nil {
		return fmt.Errorf("read the state in %s: %w", dir, err)
	}
	began := time.Now()
	if err := end(c); err != nil {
		return err
	}
	// a machine's /run is in memory
	for i := 1; i <= c.Nodes; i++ {
		if err := os.RemoveAll(c.path(nodeName(i), "run")); err != nil {
			return err
		}
	}
	if err := launch(c); err != nil {
		return err
	}
	// What etcd says of the nodes is from before; only a kubelet that runs again renews its node's lease.
	renewed := func() bool { return c.renewedSince(began) == c.Nodes || alive(dir) == 0 }
	if !within(began.Add(upWithin), renewed) {
		return fmt.Errorf("the kubelets do not come back: see %s", c.path("log"))
	}
	return waitReady(c, began)
}

// renewedSince counts the nodes whose lease was renewed after a moment.
func (c Cluster) renewedSince(moment time.Time) int {
	var leases struct {
		Items []struct{ Spec struct{ RenewTime time.Time } }
	}
	if !c.list("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &leases) {
		return 0
	}
	renewed := 0
	for _, lease := range leases.Items {
		if lease.Spec.RenewTime.After(moment) {
			renewed++
		}
	}
	return renewed
}
