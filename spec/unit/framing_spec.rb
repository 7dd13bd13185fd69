# frozen_string_literal: true

# The modules that applications and em-websocket's own specs mix into classes of theirs.
RSpec.describe EventMachine::WebSocket, "frames by hand" do
  # Writes the frames of a draft, and has nobody to send them to.
  encoder = Class.new(RawClient) { def initialize(draft) = @draft = draft }

  # Draft 04 as em-websocket frames it: draft 05 without its masks.
  unmasked = Drafts[5].dup.tap { |row| row.masking = :never }
  rows = { Framing03: Drafts[3], Framing04: unmasked, Framing05: Drafts[5], Framing07: Drafts[13] }

  # A class with these frames, whose messages go to `messages`.
  def framing_of(name, max_frame_size: 1000)
    framing = described_class.const_get(name)
    connection = Struct.new(:max_frame_size).new(max_frame_size)
    Class.new do
      include framing

      attr_reader :messages, :connection, :data

      define_method(:initialize) do
        @connection = connection
        @messages = []
        initialize_framing
      end

      def <<(bytes)
        @data << bytes
        process_data
        self
      end

      def debug(*) = nil

      def message(*message) = @messages << message
    end.new
  end

  rows.each do |name, row|
    describe name.to_s do
      let(:frames) { framing_of(name) }
      let(:peer) { encoder.new(row) }

      %i[text binary ping pong close].each do |type|
        it "hands over a #{type}" do
          frames << peer.encode(type, "Hello")
          frames << peer.encode(type, "") unless type == :close

          bodies = type == :close ? ["Hello"] : ["Hello", ""]
          expect(frames.messages).to eq(bodies.map { |body| [type, "", body] })
        end
      end

      [125, 126, 127, 65_535, 65_536, 100_000].each do |length|
        it "hands over #{length} bytes" do
          frames.connection.max_frame_size = 1_000_000
          body = Random.new(length).bytes(length)
          frames << peer.encode(:binary, body)

          expect(frames.messages).to eq([[:binary, "", body]])
        end
      end

      it "hands over a message in fragments, and a ping between them before it" do
        frames << peer.encode_fragments(:text, %w[Hel lo])
        frames << peer.encode(:binary, "Hel", last: false)
        frames << peer.encode(:ping, "?") << peer.encode(:continuation, "lo")

        expect(frames.messages)
          .to eq([[:text, "", "Hello"], [:ping, "", "?"], [:binary, "", "Hello"]])
      end

      it "hands over a message in three fragments",
         (:fixed if name == :Framing05) => true do
        frames << peer.encode_fragments(:text, %w[He ll o])

        expect(frames.messages).to eq([[:text, "", "Hello"]])
      end

      it "hands over bytes, whatever a text says" do
        frames << peer.encode(:text, "h\xE9 \xFF")

        expect(frames.messages).to eq([[:text, "", "h\xE9 \xFF".b]])
        expect(frames.messages.first.last.encoding).to eq(Encoding::BINARY)
      end

      it "does not judge the body of a close" do
        frames << peer.encode(:close, "\x00")

        expect(frames.messages).to eq([[:close, "", "\x00"]])
      end

      [1, 3, 1000].each do |cut|
        it "takes bytes cut into pieces of #{cut}" do
          wire = [
            peer.encode(:text, "one"), peer.encode(:ping, ""),
            peer.encode_fragments(:binary, ["\x00" * 130, "three"]), peer.encode(:text, "four")
          ].join
          wire.scan(/.{1,#{cut}}/mn).each { |piece| frames << piece }

          expect(frames.messages).to eq(
            [[:text, "", "one"], [:ping, "", ""], [:binary, "", "#{"\x00" * 130}three"],
             [:text, "", "four"]]
          )
        end
      end

      it "leaves nothing in @data once it has all of a message" do
        frames << peer.encode(:text, "Hello")

        expect(frames.data).to be_empty
      end

      it "begins anew with initialize_framing" do
        frames << peer.encode(:text, "never", last: false) << peer.encode(:text, "")[0..-2]
        frames.initialize_framing
        frames << peer.encode(:text, "Hello")

        expect(frames.messages).to eq([[:text, "", "Hello"]])
      end

      it "goes on after an exception in message, where it was" do
        frames.define_singleton_method(:message) do |type, *rest|
          super(type, *rest)
          raise "from message" if type == :ping
        end

        expect { frames << (peer.encode(:ping, "") + peer.encode(:text, "Hello")) }
          .to raise_error("from message")
        frames.process_data
        expect(frames.messages).to eq([[:ping, "", ""], [:text, "", "Hello"]])
      end

      describe "limits" do
        let(:overhead) { row.limit_counts == :frame ? 6 : 0 }
        let(:frames) { framing_of(name, max_frame_size: 10 + overhead) }

        it "takes a frame that is just short enough" do
          frames << peer.encode(:text, "x" * 10)

          expect(frames.messages).to eq([[:text, "", "x" * 10]])
        end

        it "raises at the header of a longer one, after the messages before it" do
          wire = peer.encode(:ping, "") + peer.encode(:text, "x" * 11)[0..-12]

          expect { frames << wire }.to raise_error(
            described_class::WSMessageTooBigError,
            "Frame length too long (#{11 + overhead} bytes)"
          )
          expect(frames.messages).to eq([[:ping, "", ""]])
        end

        it "asks for the limit each time" do
          frames.connection.max_frame_size = 100
          frames << peer.encode(:text, "x" * 11)

          expect(frames.messages).to eq([[:text, "", "x" * 11]])
        end

        it "holds for what the fragments of a message add up to", :extension do
          allow(described_class).to receive(:max_message_size).and_return(20)

          expect { frames << peer.encode_fragments(:text, ["x" * 10, "x" * 10, "x"]) }
            .to raise_error(described_class::WSMessageTooBigError)
        end
      end

      broken = {
        "Continuation frame not expected" => -> { encode(:continuation, "f") },
        "Unknown opcode 6" => -> { encode(:text, "x", opcode: 6) }
      }
      if row.strict
        broken.merge!(
          "Continuation frame expected" =>
            -> { encode(:text, "x", last: false) + encode(:text, "y") },
          "Control frames must not be fragmented" => -> { encode(:ping, "x", last: false) }
        )
      end
      broken.each do |message, wire|
        it "raises: #{message}" do
          expect { frames << peer.instance_exec(&wire) }
            .to raise_error(described_class::WSProtocolError, message)
        end
      end

      it "reads nothing after an error, and raises it again", :fixed do
        unknown = peer.encode(:text, "x", opcode: 15)
        2.times do
          expect { frames << (unknown + peer.encode(:text, "x")) }
            .to raise_error(described_class::WSProtocolError, "Unknown opcode 15")
        end
        expect(frames.messages).to be_empty
      end

      it "reads nothing after a close", :fixed do
        frames << peer.encode(:close, "") << peer.encode(:text, "x")

        expect(frames.messages).to eq([[:close, "", ""]])
      end
    end
  end

  # As RFC 6455 section 5.7 and its drafts show them.
  {
    Framing03: ["\x04\x05Hello", "\x84\x03Hel\x00\x02lo"],
    Framing04: ["\x84\x05Hello", "\x04\x03Hel\x80\x02lo"],
    Framing07: ["\x81\x05Hello", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                "\x01\x03Hel\x80\x02lo"]
  }.each do |name, samples|
    samples.each do |sample|
      it "reads the sample #{sample.b.inspect} of #{name}" do
        frames = framing_of(name)
        frames << sample.b

        expect(frames.messages).to eq([[:text, "", "Hello"]])
      end

      it "reads it a byte at a time, each given as an Integer" do
        frames = framing_of(name)
        sample.each_byte { |byte| frames << byte }

        expect(frames.messages).to eq([[:text, "", "Hello"]])
      end

      it "reads it from a String that calls itself UTF-8", :fixed do
        frames = framing_of(name)
        frames << sample << sample.byteslice(0, 1)
        sample.bytes.drop(1).each { |byte| frames << byte }

        expect(frames.messages).to eq([[:text, "", "Hello"]] * 2)
      end
    end
  end

  describe "Framing07" do
    it "refuses reserved bits", :fixed do
      expect { framing_of(:Framing07) << "\xC1\x00".b }
        .to raise_error(described_class::WSProtocolError, "Reserved bits must be 0")
    end

    it "refuses long control frames", :fixed do
      expect { framing_of(:Framing07) << "\x89\x7E\x00\x7E".b }
        .to raise_error(described_class::WSProtocolError)
    end
  end
end
