# frozen_string_literal: true

require "set"
require "zlib"

RSpec.describe EventMachine::WebSocket, ".broadcast", :extension do
  def start(options = {})
    @connections = []
    serve(options) do |ws|
      echo(ws)
      @connections << ws
    end
  end

  def clients(count = 3, draft = Drafts::RFC, **options)
    Array.new(count) { connect(draft, **options) }.tap { count.times { next_event(:open) } }
  end

  def broadcast(*message, **options)
    server.call { described_class.broadcast(@connections, *message, **options) }
  end

  ways = { "in the background" => {}, "on EventMachine's own sockets" => { attached: true } }
  ways.each do |way, metadata|
    describe(way, **metadata) do
      Drafts::ALL.each do |draft|
        it "sends text to everybody who is open, in #{draft}" do
          start
          three = clients(3, draft)

          expect(broadcast("grüße")).to eq(3)
          expect(three.map(&:read_text)).to eq(["grüße"] * 3)
        end
      end

      it "sends bytes to everybody who can have them" do
        start
        three = clients(2) + clients(1, Drafts[76])

        expect(broadcast("\xFF\x00".b, binary: true)).to eq(2)
        expect(three.first(2).map { |client| client.read(:binary) }).to eq(["\xFF\x00".b] * 2)
        expect(broadcast("then")).to eq(3)
        expect(three.map(&:read_text)).to eq(["then"] * 3)
      end

      it "passes over who is not open yet, closing or gone" do
        start
        open = clients(1).first
        closing = clients(1).first
        server.call { @connections[1].close(4000) }
        closing.read(:close)
        gone = clients(1).first
        gone.disconnect
        next_event(:close)
        dial

        expect(broadcast("x")).to eq(1)
        expect(open.read_text).to eq("x")
      end

      it "takes its place among what else is sent" do
        start
        client = clients(1).first
        server.call do
          ws = @connections.first
          5.times do |n|
            ws.send("own #{n}")
            described_class.broadcast([ws], "shared #{n} #{"x" * (n * 8000)}")
          end
        end

        expect(Array.new(10) { client.read_text[0, 8] })
          .to eq((0...5).flat_map { |n| ["own #{n}   ".strip[0, 8], "shared #{n}"[0, 8]] })
      end

      it "takes a Set, and answers 0 for nobody" do
        start
        client = clients(1).first
        set = server.call { Set.new(@connections) }

        expect(server.call do
                 [described_class.broadcast(set, "x"), described_class.broadcast([], "y")]
               end)
          .to eq([1, 0])
        expect(client.read_text).to eq("x")
      end

      it "refuses what is no text" do
        start
        clients(1)

        expect { broadcast("\xFF") }
          .to raise_error(EM::WebSocket::WebSocketError, /must be valid UTF-8 but was UTF-8/)
        expect { broadcast(nil) }.to raise_error(NoMethodError)
      end

      it "compresses for those who have agreed to it, and what follows is still understood" do
        start(compression: { threshold: 10 })
        offer = { "Sec-WebSocket-Extensions" => "permessage-deflate" }
        both = clients(1) + clients(1, headers: Drafts::RFC.headers.merge(offer))
        texts = ["own " * 200, "shared " * 1000, "own " * 200, "shared " * 1000]
        server.call do
          texts.each_slice(2) do |own, shared|
            @connections.each { |ws| ws.send(own) }
            described_class.broadcast(@connections, shared)
          end
        end

        inflater = Zlib::Inflate.new(-15)
        frames = Array.new(4) { both.last.read_frame }
        expect(frames.map(&:reserved)).to all(be_positive)
        tail = "\x00\x00\xFF\xFF".b
        inflated = frames.map { |frame| inflater.inflate(frame.payload + tail) }
        expect(inflated).to eq(texts)
        expect(Array.new(4) { both.first.read_text }).to eq(texts)
      end
    end
  end

  it "may come from any thread, and reaches a client that reads late" do
    start
    both = clients(2)
    text = "x" * 300_000
    counts = Array.new(3) { Thread.new { described_class.broadcast(@connections, text) } }

    expect(counts.map(&:value)).to eq([2, 2, 2])
    expect(both.map { |client| Array.new(3) { client.read_text } }).to eq([[text] * 3] * 2)
  end

  it "counts against the outbound limit of each" do
    start(outbound_limit: 1_000_000)
    clients(1)
    server.call { 100.times { described_class.broadcast(@connections, "x" * 100_000) } }

    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end
end
