"""The messages are those of the protocol."""

from __future__ import annotations

import pickle

from raymm.serving.grpc_protocol import METHODS, SERVICE, Wire, add_to_server, message


def test_messages_are_written_as_the_protocol_says():
    """Bytes by hand, after the encoding of protocol buffers: field number times 8 plus type."""
    assert message("ServerLiveResponse")(live=True).SerializeToString() == b"\x08\x01"
    ready = message("ModelReadyRequest")(name="m", version="2")
    assert ready.SerializeToString() == b"\x0a\x01m\x12\x012"
    request = message("ModelInferRequest")(model_name="m", raw_input_contents=[b"\x01"])
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    tensor.contents.fp32_contents.append(1.0)
    tensor.parameters["p"].bool_param = True
    again = message("ModelInferRequest").FromString(request.SerializeToString())
    assert again == request
    assert b"\x3a\x01\x01" in request.SerializeToString()  # field 7, bytes
    assert tensor.contents.SerializeToString() == b"\x32\x04\x00\x00\x80\x3f"  # field 6, packed


def test_one_parameter_has_one_kind():
    parameter = message("InferParameter")(int64_param=3)
    parameter.string_param = "x"
    assert parameter.WhichOneof("parameter_choice") == "string_param"


def test_a_servers_methods_take_and_give_bytes():
    class Server:
        def add_generic_rpc_handlers(self, handlers):
            (self.handler,) = handlers

    class Servicer:
        def __getattr__(self, name):
            return name

    server = Server()
    add_to_server(Servicer(), server)
    assert server.handler.service_name() == SERVICE
    made = server.handler._method_handlers
    assert set(made) == {f"/{SERVICE}/{method}" for method in METHODS}
    assert all(one.request_deserializer is None for one in made.values())


def test_a_written_message_goes_through_pickle():
    wire = Wire(b"\x08\x01")
    assert pickle.loads(pickle.dumps(wire)).SerializeToString() == b"\x08\x01"
