# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Connection, "callbacks" do
  names = Serving::CALLBACKS.map { |name| :"on#{name}" }

  def accepted
    serve { |ws| yield ws if block_given? }
    @client = connect
    server.connection
  end

  attr_reader :client

  names.each do |name|
    it "answers the block to #{name}, kept in @#{name}" do
      block = proc {}
      ws = accepted

      expect(ws.instance_variable_defined?(:"@#{name}")).to be(false)
      expect(ws.public_send(name, &block)).to equal(block)
      expect(ws.instance_variable_get(:"@#{name}")).to equal(block)
    end
  end

  it "can be bound again at any time" do
    ws = accepted { |opened| opened.onmessage { opened.send(+"first") } }
    client.text("?")
    expect(client.read_text).to eq("first")
    ws.onmessage { ws.send(+"second") }
    client.text("?")

    expect(client.read_text).to eq("second")
  end

  it "can be bound again from within" do
    accepted do |ws|
      ws.onmessage do
        ws.onmessage { ws.send(+"second") }
        ws.send(+"first")
      end
    end
    client.write(client.encode(:text, "?") * 2)

    expect([client.read_text, client.read_text]).to eq(%w[first second])
  end

  it "can be set as instance variables" do
    listener = Class.new do
      def initialize(ws) = @ws = ws
      def heard(text) = @ws.send(text)
    end
    accepted { |ws| ws.instance_variable_set(:@onmessage, listener.new(ws).method(:heard)) }
    client.text("method")

    expect(client.read_text).to eq("method")
  end

  it "can be bound as late as the connection lives" do
    ws = accepted
    server.call { record(ws, :close) }
    client.disconnect

    expect(next_event(:close).state).to eq(:closed)
  end

  it "may take any number of parameters" do
    calls = events
    ws = accepted
    ws.onmessage { calls << [:none] }
    client.text("text")
    expect(calls.pop).to eq([:none])
    ws.onmessage { |one, two| calls << [one, two] }
    client.text("text")
    expect(calls.pop).to eq(["text", nil])
    ws.onmessage { |*all| calls << all }
    client.text("text")
    expect(calls.pop).to eq(["text"])
    ws.onclose { |event, rest| calls << [event[:code], rest] }
    client.close(1000)

    expect(calls.pop).to eq([1000, nil])
  end

  it "are strict where the application gives a Method" do
    nothing = Object.new.tap { |object| def object.none = nil }
    accepted do |ws|
      record(ws, :error)
      ws.onmessage(&nothing.method(:none))
    end
    client.text("text")

    expect(next_event(:error).value).to be_an(ArgumentError)
  end

  it "run on the reactor's thread, in the order of what happened" do
    accepted { |ws| record(ws) }
    client.text("1")
    client.ping("2")
    client.pong("3")
    client.binary("4")
    client.close(1000, "5")
    happened = Array.new(6) { next_event }

    expect(happened.map(&:name)).to eq(%i[open message ping pong binary close])
    expect(happened.drop(1).map(&:value))
      .to eq(["1", "2", "3", "4", { code: 1000, reason: "5", was_clean: true }])
    expect(happened.map(&:state)).to eq([*[:connected] * 5, :closed])
    expect(happened.map { |event| [event.thread, event.reactor_running] }.uniq)
      .to eq([[server.thread, true]])
  end

  describe "triggers" do
    it "call the block and can be called by the application" do
      ws = accepted { |opened| record(opened) }
      next_event(:open)
      server.call do
        ws.trigger_on_message("m")
        ws.trigger_on_binary("b")
        ws.trigger_on_ping("i")
        ws.trigger_on_pong("o")
        ws.trigger_on_open("h")
        ws.trigger_on_close({ code: 7 })
      end

      expect(events.drain.map { |event| [event.name, event.value] }).to eq(
        [[:message, "m"], [:binary, "b"], [:ping, "i"], [:pong, "o"], [:open, "h"],
         [:close, { code: 7 }]]
      )
    end

    it "do nothing without a block; trigger_on_error says so" do
      ws = accepted

      expect(server.call { [ws.trigger_on_message("m"), ws.trigger_on_close] }).to eq([nil, nil])
      expect(server.call { ws.trigger_on_error(RuntimeError.new) }).to be(false)
      ws.onerror { |error| note(:error, error) }
      expect(server.call { ws.trigger_on_error(:reason) }).to be(true)
      expect(next_event(:error).value).to eq(:reason)
    end

    it "can be overridden on one connection" do
      seen = events
      accepted do |ws|
        ws.define_singleton_method(:trigger_on_message) do |text|
          seen << text
          super(text.upcase)
        end
        ws.onmessage { |text| ws.send(text) }
      end
      client.text("quiet")

      expect([client.read_text, seen.pop]).to eq(%w[QUIET quiet])
    end
  end
end
