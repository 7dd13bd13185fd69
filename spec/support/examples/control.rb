# frozen_string_literal: true

RSpec.shared_examples "pings and pongs" do |draft|
  if draft.pingable?
    it "answers a ping with its bytes and tells onping" do
      serve
      client = connect(draft)
      client.ping("are you there?")

      expect(client.read(:pong)).to eq("are you there?")
      expect(next_event(:open)).to be_truthy
      expect(next_event(:ping).value).to eq("are you there?")
    end

    it "answers an empty ping and the longest one" do
      serve
      client = connect(draft)
      client.ping
      client.ping("p" * 125)

      expect([client.read(:pong), client.read(:pong)]).to eq(["", "p" * 125])
    end

    it "tells onpong of a pong and answers nothing" do
      serve
      client = connect(draft)
      client.pong("here")
      client.text("next")

      expect(client.read_text).to eq("next")
      expect([next_event.name, next_event.value]).to eq([:open, "here"])
    end

    it "sends pings and pongs of the server" do
      serve { |ws| record(ws) }
      client = connect(draft)
      ws = open_connection

      expect(server.call { [ws.ping, ws.ping("a"), ws.pong, ws.pong("b")] }).to eq([true] * 4)
      expect([client.read(:ping), client.read(:ping), client.read(:pong), client.read(:pong)])
        .to eq(["", "a", "", "b"])
    end
  else
    it "has no pings: the server sends none" do
      serve { |ws| record(ws) }
      client = connect(draft)
      ws = open_connection

      expect(server.call { [ws.ping, ws.ping("a"), ws.pong, ws.pong("b")] }).to eq([false] * 4)
      server.call { ws.send(+"next") }
      expect(client.read_text).to eq("next")
    end
  end

  it "says whether it can ping and close with codes" do
    serve { |ws| record(ws) }
    connect(draft)
    ws = open_connection

    expect(server.call { [ws.pingable?, ws.supports_close_codes?] })
      .to eq([draft.pingable?, draft.close_codes?])
  end
end
