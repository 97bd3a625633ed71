module hotbay.dev/e2e/cluster/supervisor

go 1.24
