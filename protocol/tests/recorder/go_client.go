// The calls of go-zookeeper that record.py writes down.
package main

import (
	"os"
	"time"

	"github.com/go-zookeeper/zk"
)

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func await(events <-chan zk.Event) {
	for event := range events {
		if event.State == zk.StateHasSession {
			return
		}
	}
}

func main() {
	conn, events, err := zk.Connect([]string{os.Args[1]}, 10*time.Second, zk.WithLogger(silent{}))
	must(err)
	await(events)
	open := zk.WorldACL(zk.PermAll)
	must(conn.AddAuth("digest", []byte("user:password")))

	_, err = conn.Create("/go", []byte("data"), 0, open)
	must(err)
	_, err = conn.CreateContainer("/go/container", nil, zk.FlagContainer, open)
	must(err)
	_, err = conn.CreateTTL("/go/ttl", []byte{}, zk.FlagTTL, open, 5*time.Second)
	must(err)
	_, _, err = conn.Get("/go")
	must(err)
	_, _, _, err = conn.GetW("/go")
	must(err)
	_, _, _, err = conn.ExistsW("/go/later")
	must(err)
	_, _, _, err = conn.ChildrenW("/go")
	must(err)
	_, _, err = conn.Children("/go")
	must(err)
	_, err = conn.Set("/go/ttl", []byte("more"), 0)
	must(err)
	_, _, err = conn.GetACL("/go")
	must(err)
	_, err = conn.SetACL("/go", open, -1)
	must(err)
	_, err = conn.Sync("/go")
	must(err)

	// The watches are set again after the connection broke, with an ordinary xid.
	_, _, _ = conn.Exists("/cut")
	await(events)
	_, _, err = conn.Exists("/go")
	must(err)
	_, err = conn.Create("/go/later", nil, 0, open)
	must(err)

	_, err = conn.Multi(
		&zk.CreateRequest{Path: "/go/m", Data: []byte("1"), Acl: open, Flags: 0},
		&zk.SetDataRequest{Path: "/go/m", Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: "/go/m", Version: 1},
		&zk.DeleteRequest{Path: "/go/m", Version: -1})
	must(err)
	_, _ = conn.Multi(&zk.DeleteRequest{Path: "/go/none", Version: -1})
	_, _ = conn.IncrementalReconfig(nil, []string{"9"}, 99)
	must(conn.Delete("/go/later", -1))
	conn.Close()
}
