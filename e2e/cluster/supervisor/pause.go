package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// pauseVerb is what this program is started as in a pod's sandbox: it is its own sandbox image, so that none has to
// be pulled or kept in the repository.
const pauseVerb = "_pause"

// pause holds a pod's namespaces open until it is told to end, and reaps what is reparented to it.
func pause() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return nil
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}

// writePauseImage writes the sandbox image localhost/pause:1, with this very program in it, as an OCI layout.
func writePauseImage(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	layer, err := tarOf(map[string][]byte{"pause": program}, 0o755)
	if err != nil {
		return err
	}
	layout := ociLayout{files: map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	layerDescriptor := layout.add("layer.v1.tar", layer)
	config := layout.addJSON("config.v1+json", map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/pause", pauseVerb}, "User": "65535:65535"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []any{layerDescriptor["digest"]}},
	})
	manifest := layout.addJSON("manifest.v1+json", map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        config,
		"layers":        []any{layerDescriptor},
	})
	manifest["annotations"] = map[string]string{"io.containerd.image.name": "localhost/pause:1"}
	layout.files["index.json"] = mustJSON(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	image, err := tarOf(layout.files, 0o644)
	if err != nil {
		return err
	}
	return os.WriteFile(to, image, 0o644)
}

// ociLayout is the files of an OCI image layout, by name.
type ociLayout struct{ files map[string][]byte }

// add stores a blob and gives its descriptor.
func (l ociLayout) add(kind string, blob []byte) map[string]any {
	digest := fmt.Sprintf("%x", sha256.Sum256(blob))
	l.files["blobs/sha256/"+digest] = blob
	return map[string]any{
		"mediaType": "application/vnd.oci.image." + kind,
		"digest":    "sha256:" + digest,
		"size":      len(blob),
	}
}

func (l ociLayout) addJSON(kind string, value map[string]any) map[string]any {
	return l.add(kind, mustJSON(value))
}

// mustJSON encodes maps of strings and numbers, which cannot fail.
func mustJSON(value map[string]any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}

func tarOf(files map[string][]byte, mode int64) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for name, data := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(data); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), archive.Close()
}
