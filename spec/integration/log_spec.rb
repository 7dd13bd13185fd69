# frozen_string_literal: true

require "json"
require "logger"
require "stringio"

# Lines about connections, for whoever sets `EM::WebSocket.logger`.
RSpec.describe EventMachine::WebSocket, "and its log", :extension do
  # A logger that keeps what it is told.
  let(:lines) do
    Mailbox.new.tap do |lines|
      %i[debug info warn error].each do |level|
        lines.define_singleton_method(level) { |text| self << [level, text] }
      end
    end
  end

  before { described_class.logger = lines }

  after do
    described_class.logger = nil
    described_class.log_format = :text
  end

  # The next line of this event: its level, and its fields.
  def line(event)
    loop do
      level, text = lines.pop
      name, rest = text.split(" ", 2)
      next if name != event.to_s && name == "left"
      raise "expected #{event}, got #{text}" unless name == event.to_s

      return [level, rest.scan(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/).to_h]
    end
  end

  # The next line that has this in it.
  def next_line(event)
    loop do
      text = lines.pop.last
      return text if text.include?(event)
    end
  end

  Transports::ALL.each do |transport, way|
    describe "of connections #{way}" do
      it "has a line when one is opened and one when it is closed" do
        ids = []
        serve_by(transport) do |ws|
          ws.onopen { ids << ws.id }
          ws.onmessage { |text| ws.send(text * 2) }
        end
        client = connect(target: "/chat?token=s3cret")
        level, opened = line(:opened)

        expect([level, opened]).to eq([:info, { "id" => ids.first.to_s, "ip" => "127.0.0.1",
                                                "version" => "13", "path" => "/chat" }])
        client.text("hello")
        client.read_text
        client.close(1000)
        client.read(:close)
        level, closed = line(:closed)
        expect(closed).to include(opened)
        expect([level, closed["code"], Float(closed["seconds"])])
          .to match([:info, "1000", be_between(0, 9)])
        if transport == :background
          expect(closed.values_at("messages_in", "bytes_in", "messages_out", "bytes_out"))
            .to eq(%w[1 5 1 10])
        end
      end

      it "has a line for who is not let in, by its request, the options or onrequest" do
        serve_by(transport, origins: ["http://example.com"]) do |ws|
          ws.onrequest { |_, response| response.refuse(401) }
          ws.onerror { nil }
        end
        connect(headers: { "Sec-WebSocket-Version" => "99" })
        expect(line(:refused)).to match([:warn, include("ip" => "127.0.0.1",
                                                        "error" => /version 99/)])
        connect(headers: { "Origin" => "http://elsewhere" })
        expect(line(:refused).last["status"]).to eq("403")
        connect
        expect(line(:refused).last).to include("status" => "401")
      end

      it "has a line for a broken rule, and for a block that raises" do
        serve_by(transport) do |ws|
          ws.onmessage { raise "on\npurpose" }
          ws.onerror { nil }
        end
        breaker = connect(target: "/a")
        line(:opened)
        breaker.write(breaker.encode(:text, "\xFF"))
        expect(line(:error))
          .to match([:warn, include("path" => "/a", "error" => '"Invalid UTF8 data"')])
        breaker.disconnect
        line(:closed)
        connect.text("x")
        line(:opened)
        level, error = line(:error)
        expect([level, error["error"], error["class"]])
          .to eq([:error, '"on\u000apurpose"', "RuntimeError"])
        expect(error["at"]).to include("log_spec.rb")
      end

      it "has a line for an opening handshake that takes too long" do
        serve_by(transport, handshake_timeout: 0.1) { |ws| ws.onerror { nil } }
        dial.read_to_end

        expect(line(:refused)).to match([:warn,
                                         include("error" => '"Opening handshake timed out"')])
      end

      it "goes on where the logger raises" do
        raising = Object.new
        %i[debug info warn error].each do |level|
          raising.define_singleton_method(level) { |_| raise "disk full" }
        end
        described_class.logger = raising
        serve_by(transport) { |ws| echo(ws) }
        expect do
          2.times do
            client = connect
            client.text("hello")
            expect(client.read_text).to eq("hello")
            client.disconnect
          end
        end.not_to raise_error
      end
    end
  end

  it "has a line for the limit that has ended a connection" do
    serve(idle_timeout: 0.1)
    client = connect
    line(:opened)
    client.read(:close)
    client.close(1001)

    expect(line(:limit)).to match([:warn, include("limit" => "idle_timeout")])
    expect(line(:closed).last).to include("code" => "1001")
  end

  {
    "that is taken" => ["/%0Aopened%20id=1='#{"x" * 500}", "opened", 13],
    "that is refused" => ["/\u202E\"id=1\u0085\\#{"x" * 500}#", "refused", nil]
  }.each do |what, (path, event, version)|
    it "has a line that stays one for a path #{what}, without the query" do
      serve
      connect(target: "#{path}?token=s3cret")
      text = next_line(event)
      expect(text).to match(/\A#{event} [ -~]*\z/)
      expect(text.size).to be < 700

      described_class.log_format = :json
      connect(target: "#{path}?token=s3cret")
      json = next_line(event)
      expect(json).to match(/\A[ -~]*\z/)
      expect(JSON.parse(json)).to include({ "event" => event, "version" => version }.compact)
      expect([text, json].join).not_to include("s3cret")
    end
  end

  it "has the client's address that a trusted proxy says" do
    serve(trusted_proxies: "127.0.0.1")
    connect(headers: { "X-Forwarded-For" => "192.0.2.1" })

    expect(line(:opened).last["ip"]).to eq("192.0.2.1")
  end

  it "goes to a Logger, and only if there is one" do
    output = StringIO.new
    described_class.logger = Logger.new(output)
    serve
    connect.text("x")
    next_event(:open)
    next_event(:message)
    expect(output.string).to match(%r{INFO -- : opened id=\d+ ip=127\.0\.0\.1 version=13 path=/$})
    described_class.logger = nil
    connect
    next_event(:open)
    expect(output.string.lines.size).to eq(1)
  end

  it "has a line for the end of a connection that was opened before there was a logger" do
    described_class.logger = nil
    serve
    client = connect
    next_event(:open)
    described_class.logger = lines
    client.disconnect

    expect(line(:closed).last.keys).to include("id", "ip", "bytes_in")
  end

  it "takes a Logger, nil, and two formats" do
    expect { described_class.logger = $stdout }.to raise_error(ArgumentError, /is no Logger/)
    expect { described_class.log_format = :xml }.to raise_error(ArgumentError, /:text or :json/)
  end

  describe "id" do
    Transports::ALL.each do |transport, way|
      it "is one that no other connection has, and stays, #{way}" do
        seen = []
        serve_by(transport) do |ws|
          accepted = ws.id
          ws.onopen { seen << [accepted, ws.id] }
          ws.onclose { note(:close, ws.id) }
        end
        ids = Array.new(3) do
          connect.disconnect
          next_event(:close).value
        end
        expect(ids.uniq.size).to eq(3)
        expect(seen).to eq(ids.map { |id| [id, id] })
      end
    end

    it "is the application's where it has one" do
      serve_by(:attached, {}, Class.new(EM::WebSocket::Connection) { def id = "mine" }) do |ws|
        ws.onopen { note(:open, ws.id) }
      end
      connect

      expect(next_event(:open).value).to eq("mine")
      expect(line(:opened).last["id"]).to match(/\A\d+\z/)
    end
  end
end
