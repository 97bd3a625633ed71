// Command coredns is CoreDNS with only the plugins that a test cluster needs. It is a module of its own, because
// beside Kubernetes' modules it would move some forty of their dependencies.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// the order in which plugins see a query
	dnsserver.Directives = []string{"bind", "health", "ready", "log", "errors", "cache", "hosts", "kubernetes", "forward"}
}

func main() { coremain.Run() }
