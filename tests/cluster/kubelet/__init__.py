"""A small kubelet: it runs the pods of every node as processes of this machine.

    agent.py        watches pods, and gives each a thread
    pod.py          one pod: volumes, init containers in order, containers, its status, its end
    container.py    one container: start, probes, restarts with back-off, preStop, SIGTERM, SIGKILL
    probes.py       startup, readiness and liveness, over HTTP or by a command
    environment.py  what the container's program finds in its environment
    volumes.py      configMap, secret, emptyDir, persistentVolumeClaim and image, as folders
    images.py       what an image's name stands for here
    names.py        the services' names, as /etc/hosts for pods
    enter.py        the program that becomes the container: its own root, mounts and user

A container has its own view of the file system: the machine's programs read-only, volumes where the pod
wants them, a read-only root where the pod asks for one, and the user that it asks for. It shares the network
and the processes with all others. CPU and memory are not limited, capabilities are those of an ordinary user,
and nothing enforces network policies. A pod that wants what is not written here does not start, and says so.
"""
