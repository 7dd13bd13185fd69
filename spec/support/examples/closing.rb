# frozen_string_literal: true

RSpec.shared_examples "a closing handshake" do |draft|
  abnormal = { code: 1006, was_clean: false }

  [[], [1000], [1001, "done"], [4321, "grüße"]].each do |code, reason|
    it "answers the client's close #{[code, reason].inspect} and ends the connection" do
      serve
      client = connect(draft)
      client.close(code, reason || "")

      expect(client.read_frame).to have_attributes(
        type: :close, payload: draft.reply_body(code, reason) || "\x00".b
      )
      expect(client).to be_eof
      expect(next_event(:open)).to be_truthy
      close = next_event(:close)
      close.value[:reason] &&= close.value[:reason].b
      expect(close).to have_attributes(
        state: :closed, value: draft.close_event(code, reason&.b), thread: server.thread,
        reactor_running: true
      )
      expect(events).to be_empty
    end
  end

  it "tells exactly 1006 of a connection that just ends" do
    serve
    client = connect(draft)
    ws = open_connection
    client.disconnect

    expect(next_event(:close)).to have_attributes(value: abnormal, state: :closed)
    expect(server.call { ws.state }).to eq(:closed)
    expect(events).to be_empty
  end

  it "tells exactly 1006 of a connection that is reset" do
    serve
    client = connect(draft)
    open_connection
    client.reset

    expect(next_event(:close)).to have_attributes(value: abnormal, state: :closed)
  end

  it "tells exactly 1006 of a connection that ends within a message" do
    serve
    client = connect(draft)
    open_connection
    client.write(client.encode(:text, "abc")[0..-2])
    client.disconnect

    expect(next_event(:close).value).to eq(abnormal)
  end

  if draft.close == :tcp
    it "ends the connection where the server closes, code or not" do
      serve
      client = connect(draft)
      ws = open_connection
      server.call { [ws.send(+"last"), ws.close(4001, "bye")] }

      expect(client.read_text).to eq("last")
      expect(client).to be_eof
      expect(next_event(:close)).to have_attributes(value: abnormal, state: :closed)
    end

    it "ignores messages after the client's close" do
      serve
      client = connect(draft)
      client.write(client.encode_close + client.encode(:text, "late"))
      client.read_to_end

      expect([next_event.name, next_event.name]).to eq(%i[open close])
    end
  else
    [[], [1000], [4001, "bye"]].each do |code, reason|
      it "closes with #{[code, reason].inspect} and waits for the client's answer" do
        serve
        client = connect(draft)
        ws = open_connection
        states = server.call { [ws.state, ws.close(*[code, reason].compact) && nil, ws.state] }

        expect(states.values_at(0, 2)).to eq(%i[connected closing])
        expect(client.read(:close)).to eq(draft.close_body(code, reason))
        client.close(code, reason || "")
        expect(client).to be_eof
        expect(next_event(:close)).to have_attributes(
          value: draft.close_event(code, reason), state: :closed
        )
      end
    end

    it "tells the code of the client's answer, whatever the server's was" do
      serve
      client = connect(draft)
      ws = open_connection
      server.call { ws.close(4001, "bye") }
      client.close(4002, "see you")

      expect(next_event(:close).value).to eq(draft.close_event(4002, "see you"))
    end

    it "raises an error and ends the connection where the answer does not come" do
      serve(close_timeout: 0.1)
      client = connect(draft)
      ws = open_connection
      server.call { ws.close(4001, "bye") }

      expect(client.read(:close)).to eq(draft.close_body(4001, "bye"))
      expect(client).to be_eof
      error = next_event(:error)
      expect(error.state).to eq(:closing)
      expect(error.value).to be_instance_of(EM::WebSocket::WSProtocolError).and have_attributes(
        message: "Close handshake un-acked after 0.1s, closing tcp connection", code: 1002
      )
      expect(next_event(:close)).to have_attributes(value: abnormal, state: :closed)
    end

    it "tells 1006 where the client hangs up instead of answering" do
      serve
      client = connect(draft)
      ws = open_connection
      server.call { ws.close(4001, "bye") }
      client.read(:close)
      client.disconnect

      expect(next_event(:close)).to have_attributes(value: abnormal, state: :closed)
      expect(events).to be_empty
    end

    it "still hands over what comes before the client's answer" do
      serve { |ws| record(ws) }
      client = connect(draft)
      ws = open_connection
      server.call { ws.close(4001) }
      client.text("late")
      client.ping("still there?")
      client.close(4001)

      expect(client.read(:close)).to eq(draft.close_body(4001))
      expect(next_event(:message)).to have_attributes(value: "late", state: :closing)
      expect(next_event(:ping)).to have_attributes(value: "still there?", state: :closing)
      expect(next_event(:close).value).to eq(draft.close_event(4001))
    end

    it "lets only pings and pongs out while it waits" do
      serve(&method(:record))
      client = connect(draft)
      ws = open_connection
      server.call { ws.close }
      refusal = raise_error(
        EM::WebSocket::WebSocketError, "Cannot send data frame since connection is closing"
      )

      expect { server.call { ws.send(+"x") } }.to refusal
      expect { server.call { ws.send_binary("x") } }.to refusal
      expect(server.call { [ws.ping("a"), ws.pong("b")] }).to eq([true, true])
      expect([client.read(:close), client.read(:ping), client.read(:pong)])
        .to eq([draft.close_body, "a", "b"])
    end

    it "closes once, however often it is asked", :fixed do
      serve(close_timeout: 0.1)
      client = connect(draft)
      ws = open_connection
      server.call { 2.times { ws.close(4001) } }

      expect(client.read(:close)).to eq(draft.close_body(4001))
      expect(client).to be_eof
      expect([next_event.name, next_event.name]).to eq(%i[error close])
      expect(events).to be_empty
    end

    it "hands nothing over that follows the client's close", :fixed do
      serve
      client = connect(draft)
      late = client.encode(:text, "late") + client.encode(:ping, "")
      client.write(client.encode_close(1000) + late)

      expect(client.read(:close)).to eq(draft.reply_body(1000))
      expect(client).to be_eof
      expect([next_event.name, next_event.name]).to eq(%i[open close])
    end
  end

  it "sends nothing after the end, and says so only by nil" do
    serve
    client = connect(draft)
    ws = open_connection
    client.disconnect
    next_event(:close)

    expect(server.call { [ws.send(+"x"), ws.send_text(+"x"), ws.state] }).to eq([nil, nil, :closed])
    expect(server.call { [ws.pingable?, ws.supports_close_codes?] })
      .to eq([draft.pingable?, draft.close_codes?])
  end

  it "is over for good: closing again does nothing", :fixed do
    serve(close_timeout: 0.05)
    client = connect(draft)
    ws = open_connection
    client.disconnect
    next_event(:close)

    expect(server.call { [ws.close(1000), ws.close_websocket, ws.state] }.last).to eq(:closed)
    fired = Mailbox.new
    server.call { EM.add_timer(0.15) { fired << true } }
    expect(fired.pop).to be(true)
    expect(events).to be_empty
  end
end
