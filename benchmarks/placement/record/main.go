// Record what kube-scheduler's own plugins say of placement cases.
//
// Reads cases as JSON lines (scripts/placement_cases.py), builds the default profile of the scheduler over the
// objects of each, asks every plugin about every node, and adds `schedulable_nodes` and `reasons` (of the first plugin
// that rejects a node). It does what the API server and the claim controller would: defaults, claims from templates.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	defaults "k8s.io/kubernetes/pkg/apis/core/v1"
	resdefaults "k8s.io/kubernetes/pkg/apis/resource/v1"
	"k8s.io/kubernetes/pkg/scheduler"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

type Case struct {
	Name    string                     `json:"name"`
	Pod     json.RawMessage            `json:"pod"`
	Cluster map[string]json.RawMessage `json:"cluster"`
}

func list(c Case, key string) []json.RawMessage {
	var out []json.RawMessage
	if raw, ok := c.Cluster[key]; ok {
		if err := json.Unmarshal(raw, &out); err != nil {
			panic(err)
		}
	}
	return out
}

func must(raw []byte, into interface{}) {
	if err := json.Unmarshal(raw, into); err != nil {
		panic(fmt.Sprint(err, string(raw)))
	}
}

func run(c Case) (schedulable []string, reasons map[string][]string, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var objs []runtime.Object
	var nodes []string
	for _, r := range list(c, "nodes") {
		n := &v1.Node{}
		must(r, n)
		defaults.SetObjectDefaults_Node(n)
		nodes = append(nodes, n.Name)
		objs = append(objs, n)
	}
	for i, r := range list(c, "pods") {
		p := &v1.Pod{}
		must(r, p)
		defaults.SetObjectDefaults_Pod(p)
		if p.Namespace == "" {
			p.Namespace = "default"
		}
		if p.UID == "" {
			p.UID = types.UID(fmt.Sprint("u", i))
		}
		if p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed {
			continue
		}
		objs = append(objs, p)
	}
	templates := map[string]*resourceapi.ResourceClaimTemplate{}
	for i, r := range list(c, "claims") {
		var kind struct{ Kind string }
		must(r, &kind)
		if kind.Kind == "ResourceClaimTemplate" {
			t := &resourceapi.ResourceClaimTemplate{}
			must(r, t)
			templates[t.Name] = t
			continue
		}
		o := &resourceapi.ResourceClaim{}
		must(r, o)
		resdefaults.SetObjectDefaults_ResourceClaim(o)
		if o.Namespace == "" {
			o.Namespace = "default"
		}
		o.UID = types.UID(fmt.Sprint("c", i))
		objs = append(objs, o)
	}
	for _, r := range list(c, "slices") {
		o := &resourceapi.ResourceSlice{}
		must(r, o)
		resdefaults.SetObjectDefaults_ResourceSlice(o)
		objs = append(objs, o)
	}
	for _, r := range list(c, "deviceClasses") {
		o := &resourceapi.DeviceClass{}
		must(r, o)
		objs = append(objs, o)
	}
	for _, r := range list(c, "persistentVolumeClaims") {
		o := &v1.PersistentVolumeClaim{}
		must(r, o)
		if o.Namespace == "" {
			o.Namespace = "default"
		}
		objs = append(objs, o)
	}
	for _, r := range list(c, "persistentVolumes") {
		o := &v1.PersistentVolume{}
		must(r, o)
		objs = append(objs, o)
	}
	for _, r := range list(c, "storageClasses") {
		o := &storagev1.StorageClass{}
		must(r, o)
		objs = append(objs, o)
	}
	for _, r := range list(c, "namespaces") {
		o := &v1.Namespace{}
		must(r, o)
		objs = append(objs, o)
	}
	pod := &v1.Pod{}
	must(c.Pod, pod)
	defaults.SetObjectDefaults_Pod(pod)
	if pod.Namespace == "" {
		pod.Namespace = "default"
	}
	pod.UID = "thepod"
	for _, pc := range pod.Spec.ResourceClaims {
		if pc.ResourceClaimTemplateName == nil {
			continue
		}
		t, ok := templates[*pc.ResourceClaimTemplateName]
		if !ok {
			continue
		}
		name := pod.Name + "-" + pc.Name
		claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pod.Namespace, UID: types.UID("t" + name),
			Annotations:     map[string]string{"resource.kubernetes.io/pod-claim-name": pc.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &[]bool{true}[0]}}}, Spec: t.Spec.Spec}
		resdefaults.SetObjectDefaults_ResourceClaim(claim)
		objs = append(objs, claim)
		pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses, v1.PodResourceClaimStatus{Name: pc.Name, ResourceClaimName: &name})
	}
	client := fake.NewClientset(objs...)
	inf := informers.NewSharedInformerFactory(client, 0)
	snapshot := internalcache.NewEmptySnapshot()
	recorder := func(string) events.EventRecorderLogger { return events.NewFakeRecorder(100) }
	sched, err := scheduler.New(ctx, client, inf, nil, profile.RecorderFactory(recorder), scheduler.WithNodeInfoSnapshot(snapshot))
	if err != nil {
		return nil, nil, err
	}
	inf.Start(ctx.Done())
	inf.WaitForCacheSync(ctx.Done())
	if err := sched.WaitForHandlersSync(ctx); err != nil {
		return nil, nil, err
	}
	time.Sleep(20 * time.Millisecond)
	logger := klog.Background()
	if err := sched.Cache.UpdateSnapshot(logger, snapshot); err != nil {
		return nil, nil, err
	}
	f := sched.Profiles["default-scheduler"]
	reasons = map[string][]string{}
	if len(pod.Spec.SchedulingGates) > 0 {
		for _, n := range nodes {
			reasons[n] = []string{"gated"}
		}
		return nil, reasons, nil
	}
	state := framework.NewCycleState()
	res, st, _ := f.RunPreFilterPlugins(ctx, state, pod)
	if !st.IsSuccess() {
		for _, n := range nodes {
			reasons[n] = st.Reasons()
			if len(reasons[n]) == 0 {
				reasons[n] = []string{st.Message()}
			}
		}
		return nil, reasons, nil
	}
	var aborted *fwk.Status
	for _, n := range nodes {
		if res != nil && !res.AllNodes() && !res.NodeNames.Has(n) {
			reasons[n] = []string{"node(s) didn't satisfy plugin(s) [NodeAffinity]"}
			continue
		}
		info, err := snapshot.NodeInfos().Get(n)
		if err != nil {
			return nil, nil, err
		}
		s := f.RunFilterPluginsWithNominatedPods(ctx, state, pod, info)
		if s.IsSuccess() {
			schedulable = append(schedulable, n)
			continue
		}
		if s.Code() == fwk.Error {
			aborted = s
		}
		reasons[n] = s.Reasons()
	}
	if aborted != nil {
		for _, n := range schedulable {
			reasons[n] = aborted.Reasons()
		}
		schedulable = nil
	}
	sort.Strings(schedulable)
	return schedulable, reasons, nil
}

func main() {
	klog.SetOutput(os.Stderr)
	klog.LogToStderr(true)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if line == "" {
			continue
		}
		var c Case
		must([]byte(line), &c)
		ok, reasons, err := run(c)
		var whole map[string]interface{}
		must([]byte(line), &whole)
		if err != nil {
			whole["error"] = err.Error()
		} else {
			if ok == nil {
				ok = []string{}
			}
			whole["schedulable_nodes"] = ok
			whole["reasons"] = reasons
		}
		b, _ := json.Marshal(whole)
		out.Write(b)
		out.WriteString("\n")
	}
}
