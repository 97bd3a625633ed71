package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNoTwoRangesOverlap(t *testing.T) {
	var ranges []netip.Prefix
	for id := 0; id <= 7; id++ {
		c := Cluster{ID: id, Nodes: 9}
		for _, text := range []string{c.NodeIP(0) + "/24", c.PodsCIDR(), c.ServicesCIDR()} {
			ranges = append(ranges, netip.MustParsePrefix(text))
		}
	}
	for i, one := range ranges {
		for _, other := range ranges[:i] {
			if one.Overlaps(other) {
				t.Errorf("%s overlaps %s", one, other)
			}
		}
	}
}

func TestEveryNodesPodsAreInTheClustersRange(t *testing.T) {
	c := Cluster{ID: 3, Nodes: 9}
	whole := netip.MustParsePrefix(c.PodsCIDR())
	for i := 1; i <= c.Nodes; i++ {
		if pods := netip.MustParsePrefix(c.PodCIDR(i)); !whole.Contains(pods.Addr()) {
			t.Errorf("node %d has %s, which is not in %s", i, pods, whole)
		}
	}
}

func TestAStateFolderUnderWhatIsMountedOverIsRefused(t *testing.T) {
	valid := Cluster{Dir: "/root/.cache/hotbay/cluster", ID: 1, Nodes: 3}
	if err := valid.check(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/run", "/var/lib/cluster", "/proc/x"} {
		wrong := valid
		wrong.Dir = dir
		if wrong.check() == nil {
			t.Errorf("%s must be refused", dir)
		}
	}
}

func TestADiskThatIsNearlyFullIsToldBeforeAnythingStarts(t *testing.T) {
	dir := t.TempDir()
	if err := enoughDisk(dir, 1); err != nil {
		t.Error(err)
	}
	err := enoughDisk(dir, 1<<62)
	if err == nil || !strings.Contains(err.Error(), "MiB are free in "+dir) {
		t.Errorf("it must say what is free and where, and said: %v", err)
	}
}

// The disk is the machine's: with thresholds, a node got a taint when builds had left less than 1 % of it, and no pod was placed.
func TestANodeDoesNotMindADiskThatIsNearlyFull(t *testing.T) {
	text, err := conf.ReadFile("conf/kubelet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []string{"nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"} {
		if !strings.Contains(string(text), signal+`: "0%"`) {
			t.Errorf("a kubelet evicts by %s, unless it is told not to", signal)
		}
	}
}

func TestEveryTemplateRenders(t *testing.T) {
	c := Cluster{Dir: t.TempDir(), ID: 1, Nodes: 2}
	if err := writeConfiguration(c); err != nil {
		t.Fatal(err)
	}
}
