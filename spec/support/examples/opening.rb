# frozen_string_literal: true

RSpec.shared_examples "an opening handshake" do |draft|
  let(:target) { "/chat/room?name=anna&mode=r%20w&name=bert" }

  def expected_lines(draft)
    draft.answers.map { |line| format(line, port: server.port, target: target) }
  end

  it "is answered with exactly the draft's response" do
    serve
    client = connect(draft, target: target)

    expect(client.response).to eq(
      status: draft.status, lines: expected_lines(draft), trailer: draft.trailer
    )
  end

  # Em-websocket trips over a third key that comes in pieces, if the pieces fall so.
  it "is answered however the request is cut", fixed: !draft.body.empty? do
    serve
    client = dial(draft)
    client.write(client.request(target: target), cut: 1)

    expect(client.read_response(draft.trailer.bytesize)).to eq(
      status: draft.status, lines: expected_lines(draft), trailer: draft.trailer
    )
  end

  it "tells onopen what the client asked for" do
    serve
    connect(draft, target: target, headers: { "X-Token" => "Ab" })
    handshake = next_event(:open).value

    expect(handshake).to be_a(EM::WebSocket::Handshake)
    expect(handshake).to have_attributes(
      path: "/chat/room", query_string: "name=anna&mode=r%20w&name=bert",
      query: { "name" => "bert", "mode" => "r%20w" }, origin: "http://example.com",
      secure?: false, protocol_version: draft.number
    )
    expect(handshake.headers).to include("X-Token" => "Ab", "Host" => "127.0.0.1:#{server.port}")
    expect(handshake.headers_downcased).to include("x-token" => "Ab", "upgrade" => "WebSocket")
  end

  it "has a path and an empty query where the client asked for nothing else" do
    serve
    connect(draft, headers: { "Origin" => nil })

    expect(next_event(:open).value).to have_attributes(
      path: "/", query_string: "", query: {}, origin: nil
    )
  end

  it "goes from :handshake in the accept block to :connected in onopen" do
    serve do |ws|
      note(:accept, nil, ws)
      record(ws)
    end
    connect(draft)

    expect([next_event(:accept).state, next_event(:open).state]).to eq(%i[handshake connected])
  end

  it "comes before what onopen sends" do
    serve { |ws| ws.onopen { ws.send(+"first") } }

    expect(connect(draft).read_text).to eq("first")
  end

  it "says wss behind a TLS proxy, where it names a location" do
    serve(secure_proxy: true) { |ws| record(ws) }
    client = connect(draft)
    locations = draft.answers.grep(/Location/).size

    expect(client.response[:lines].grep(/Location/))
      .to match([end_with("Location: wss://127.0.0.1:#{server.port}/")] * locations)
    expect(next_event(:open).value).to be_secure
  end

  if draft.masking == :never
    it "is refused where bytes follow it that the draft does not allow yet" do
      serve
      client = dial(draft)
      client.write(client.request + client.encode(:text, "early"))

      client.read_to_end
      expect(next_event(:error).value)
        .to be_a(EM::WebSocket::HandshakeError).and have_attributes(
          message: draft.body.empty? ? "Extra bytes after header" : "Extra bytes after third key"
        )
    end
  else
    it "may be followed by a message in the same segment", :fixed do
      serve
      client = connect(draft, with: dial(draft).encode(:text, "early"))

      expect(client.read_text).to eq("early")
      expect([next_event.name, next_event.name]).to eq(%i[open message])
    end
  end

  unless draft.number == 75
    it "selects the one protocol that is offered", upstream: "0.5.1 does not from 04 on" do
      serve
      client = connect(draft, headers: { "Sec-WebSocket-Protocol" => "chat" })

      expect(client.response[:lines].last).to eq("Sec-WebSocket-Protocol: chat")
    end
  end
end
