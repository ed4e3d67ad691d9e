"""Many cameras on one machine: every frame that is due is inferred, or dropped with one cause.

```
list      cameras.toml or one address a line ─► Camera
ingest    few processes: connections, reconnection ─► AccessUnit, with capture time; phase, figures ─► IngestReport
decode    pool of processes: the newest picture of each camera is held ─► DueFrame tells that it is there
schedule  which camera's picture goes into the next batch; ticks that are due ─► account
          the decoder writes the picture into the session's region when it is asked to, not before
account   due = inferred + dropped by one cause + pending, checked at every report
outputs   hears Inferred and CameraStatus, never blocks
supervise the processes, the list's changes, the terminal's table; `CameraCell` is all of it
```
The seams are the values in `values/`: whoever writes an output, a page or metrics needs `Inferred`, `DropCount`,
`CameraStatus` and nothing below. A decoder on a GPU takes the place of a decode process and speaks the same messages.
Processes: one owner, ingest processes and decode processes. They talk over Unix sockets in a private folder.
Each ends with its owner.
"""
