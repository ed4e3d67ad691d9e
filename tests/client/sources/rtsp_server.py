"""A real RTSP server on loopback for the tests; runs with the system's Python, which has GStreamer.

Usage: python3 rtsp_server.py [PORT [udp|basic|digest|CODEC:WIDTHxHEIGHT@RATE [PASSWORD]]]. Prints the port once it
serves rtsp://127.0.0.1:PORT/cam, ends with its stdin. udp: refuses TCP. basic, digest: asks admin for the password.
CODEC: h264, h265 or mjpeg.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

CODECS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph265pay name=pay0 pt=96",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def launch(kind):
    codec, _, picture = kind.partition(":") if ":" in kind else ("h264", "", "320x240@25")
    size, rate = picture.split("@")
    width, height = size.split("x")
    picture = f"video/x-raw,format=I420,width={width},height={height},framerate={rate}/1"
    return f"( videotestsrc is-live=true pattern=ball ! {picture} ! {CODECS[codec]} )"


def main() -> None:
    Gst.init(None)
    loop = GLib.MainLoop()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1] if len(sys.argv) > 1 else "0")
    factory = GstRtspServer.RTSPMediaFactory()
    kind = sys.argv[2] if len(sys.argv) > 2 else ""
    factory.set_launch(launch(kind))
    factory.set_shared(True)
    if kind == "udp":
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    elif kind in ("basic", "digest"):
        require_password(server, factory, kind, sys.argv[3])
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    print(server.get_bound_port(), flush=True)
    GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


def require_password(server, factory, kind, password):
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    if kind == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("admin", password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest("admin", password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("user", permission, True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
