package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand makes the `etcd` subcommand: one member, on loopback, for data that may be lost.
func newEtcdCommand() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:          "etcd",
		Short:        "a single etcd member for a throw-away cluster",
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return serveEtcd(dir) },
	}
	command.Flags().StringVar(&dir, "dir", "", "data directory")
	return command
}

// serveEtcd runs the member until it fails; it does not return otherwise.
func serveEtcd(dir string) error {
	client := url.URL{Scheme: "http", Host: "127.0.0.1:2379"}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "warn"
	config.UnsafeNoFsync = true // the data goes with the cluster, so a crash of the machine may take it
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	member, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd in %s: %w", dir, err)
	}
	return <-member.Err()
}
