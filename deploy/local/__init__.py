"""The suite on one machine: PostgreSQL, a broker and every service, each as an operating system process of its own.

Layers, each usable by itself and each knowing only those above it:

- `runfolder`, `lock`, `secrets`: the folder that holds everything a run leaves behind.
- `tether`, `supervisor`: child processes that are watched, restarted, and never outlive their parent.
- `postgres`, `kafka`, `tansu`, `broker`: the two backends.
- `stack`: both backends together. `suite`: the services on top of them.
"""
