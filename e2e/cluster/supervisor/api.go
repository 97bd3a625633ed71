package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// api calls the API server as the administrator and gives status and body. A call a connection: these are few, and a
// kept one would outlive a stopped API server.
func (c Cluster) api(method, path, body string) (int, []byte, error) {
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(c.CA)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: authorities}}
	client := http.Client{Timeout: 10 * time.Second, Transport: transport}
	request, err := http.NewRequest(method, "https://"+c.NodeIP(1)+":6443"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, data, err
}

// answers says whether a GET of the path gives 200.
func (c Cluster) answers(path string) bool {
	status, _, err := c.api(http.MethodGet, path, "")
	return err == nil && status == http.StatusOK
}

// list reads a list into a struct that has what is wanted of it, and says whether that went well.
func (c Cluster) list(path string, into any) bool {
	_, data, err := c.api(http.MethodGet, path, "")
	return err == nil && json.Unmarshal(data, into) == nil
}

// readyNodes counts the nodes whose condition Ready is True.
func (c Cluster) readyNodes() int {
	var list struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if !c.list("/api/v1/nodes", &list) {
		return 0
	}
	ready := 0
	for _, node := range list.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				ready++
			}
		}
	}
	return ready
}
