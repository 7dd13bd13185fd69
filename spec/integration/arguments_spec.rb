# frozen_string_literal: true

# Odd arguments to the methods and attributes of a connection, and of the module.
RSpec.describe EventMachine::WebSocket, "and odd arguments" do
  limits = OddValues::NUMBERS.reject { |number| number.respond_to?(:nan?) && number.nan? }
  no_limits = OddValues::ALL - limits - [nil]
  strings = OddValues::OTHERS.grep(String)
  no_strings = OddValues::ALL - strings - [0]

  # The result of a call, or its error, for a table.
  def outcome
    yield
  rescue StandardError => e
    expect(e.message).not_to match(OddValues::FOREIGN)
    e
  end

  # The results of a call on the reactor's thread, one for each of some values.
  def told(values, &call)
    values.map { |value| outcome { server.call { call.call(value) } } }
  end

  ways = {
    "in the background" => {}, "on EventMachine's own sockets" => { attached: true },
    "where bytes pass through a hook" => { raw: true }
  }
  ways.each do |way, metadata|
    describe(way, **metadata) do
      # A client that is connected, and the server's side of it.
      attr_reader :client, :ws

      before do
        serve do |ws|
          echo(ws)
          ws.define_singleton_method(:receive_data) { |data| super(data) } if metadata[:raw]
        end
        @client = connect
        @ws = open_connection
      end

      # The connection serves, whatever was said to it.
      def expect_service
        client.text("hello")
        expect(client.read_text).to eq("hello")
      end

      describe "#max_frame_size=" do
        it "takes every number" do
          set = limits.map do |size|
            server.call do
              ws.max_frame_size = size
              ws.max_frame_size
            end
          end

          expect(set).to eq(limits)
        end

        it "takes nil", :fixed do
          server.call { ws.max_frame_size = 3 }
          server.call { ws.max_frame_size = nil }

          expect(ws.max_frame_size).to eq(described_class.max_frame_size)
          expect_service
        end

        it "says that anything else is no number", :fixed do
          errors = told(no_limits) { |size| ws.max_frame_size = size }

          expect(errors).to all(be_a(ArgumentError) & have_attributes(
            message: /\Amax_frame_size: .* is no number: give an Integer or a Float\z/m
          ))
          expect_service
        end

        [10, 10.5, 10r, 21/2r, BigDecimal("10.5")].each do |size|
          it "goes by #{size.inspect} as it compares" do
            server.call { ws.max_frame_size = size }
            client.text("four")
            expect(client.read_text).to eq("four")
            client.text("fives")

            expect(client.read(:close)[0, 2]).to eq([1009].pack("n"))
          end
        end

        [Float::INFINITY, 2**64, 1e308].each do |size|
          it "lets everything pass at #{size.inspect}" do
            server.call { ws.max_frame_size = size }
            client.text("x" * 100_000)

            expect(client.read_text.size).to eq(100_000)
          end
        end

        [0, -1, -1.5, -Float::INFINITY, -(2**64)].each do |size|
          it "lets nothing pass at #{size.inspect}" do
            server.call { ws.max_frame_size = size }
            client.text("")

            expect(client.read(:close)[0, 2]).to eq([1009].pack("n"))
          end
        end
      end

      %i[max_message_size outbound_high_water].each do |name|
        it "##{name}= takes every number, and nil", :extension do
          server.call { ws.ondrain {} }
          [*limits, nil].each { |size| server.call { ws.public_send(:"#{name}=", size) } }

          expect(ws.public_send(name)).to be_positive
          expect_service
        end

        it "##{name}= says that anything else is no number", :extension do
          errors = told(no_limits) { |size| ws.public_send(:"#{name}=", size) }

          expect(errors).to all(be_a(ArgumentError) & have_attributes(
            message: /\A#{name}: .* is no number: give an Integer or a Float\z/m
          ))
          expect_service
        end
      end

      it "#send_data sends whatever is given as a String" do
        given = OddValues::ALL.reject { |value| value.to_s.empty? }
        sent = given.map { |value| server.call { ws.send_data(value) } }
        whole = given.map { |value| value.to_s.b }.join

        expect(sent).to eq(given.map { |value| value.to_s.bytesize })
        expect(client.__send__(:read_exactly, whole.bytesize)).to eq(whole)
      end

      %i[send send_text send_binary ping pong].each do |name|
        it "##{name} raises for what is no String, and the connection lives on" do
          errors = told(no_strings) { |value| ws.public_send(name, value) }

          expect(errors).to all(be_a(NoMethodError) | be_a(TypeError) | be_a(RangeError))
          expect_service
        end
      end

      it "#close takes no other code than em-websocket" do
        codes = OddValues::ALL - [nil, false]
        errors = told(codes) { |code| ws.close(code) }

        expect(errors.map { |error| [error.class, error.message] }.uniq).to eq(
          [[RuntimeError, "Application code may only use codes from 1000, 3000-4999"]]
        )
        expect_service
      end

      { 1000.0 => 1000, 1000r => 1000, 3000.5 => 3000, 9001/2r => 4500, false => nil }
        .each do |given, code|
          it "#close takes #{given.inspect}" do
            server.call { ws.close(given) }

            expect(client.read(:close)).to eq([code].compact.pack("n*"))
          end
        end

      it "#close raises for a reason that is no String, and the connection lives on" do
        reasons = no_strings - [nil, false] - OddValues::NUMBERS
        errors = told(reasons) { |reason| ws.close(4000, reason) }

        expect(errors).to all(be_a(TypeError) | be_a(NoMethodError))
        expect_service
      end

      it "#comm_inactivity_timeout= takes what has a to_f" do
        given = [nil, 1.5, 3r, 7/2r, "10", "ten", 2**31, 2**32, Float::INFINITY, Float::NAN, 2**64]
        set = given.map do |seconds|
          server.call do
            ws.comm_inactivity_timeout = seconds
            ws.comm_inactivity_timeout
          end
        end

        expect(set).to eq([0.0, 1.5, 3.0, 3.5, 10.0, 0.0, 2.0**31, 2.0**32, 0.0, 0.0, 0.0])
      end

      it "#comm_inactivity_timeout= and pending_connect_timeout= raise for what has none" do
        %i[comm_inactivity_timeout= pending_connect_timeout=].each do |name|
          errors = told([:ten, true, [], Object]) { |value| ws.public_send(name, value) }

          expect(errors).to all(be_a(NoMethodError))
        end
        expect_service
      end

      # On its own sockets, EventMachine takes it for some hundred years.
      next if metadata[:attached]

      it "#comm_inactivity_timeout= has no limit that is negative", :fixed do
        set = [-1, -1.5, -(2**64)].map do |seconds|
          server.call { (ws.comm_inactivity_timeout = seconds) && ws.comm_inactivity_timeout }
        end

        expect(set).to eq([0.0, 0.0, 0.0])
      end
    end
  end

  describe "of the module" do
    names = %i[max_frame_size max_message_size close_timeout]
    names &= %i[max_frame_size close_timeout] if UPSTREAM
    let!(:before) { names.to_h { |name| [name, described_class.public_send(name)] } }

    after { before.each { |name, value| described_class.public_send(:"#{name}=", value) } }

    def set(name, value)
      described_class.public_send(:"#{name}=", value)
      described_class.public_send(name)
    end

    names.each do |name|
      numbers = name == :close_timeout ? limits.reject(&:negative?) : limits

      it ".#{name}= takes every number" do
        expect(numbers.map { |value| set(name, value) }).to eq(numbers)
      end

      it ".#{name}= says that anything else is none, and nil is the default", :fixed do
        default = before[name]
        wrong = OddValues::ALL - numbers - [nil]
        wrong -= ["10"] if name == :close_timeout
        errors = wrong.map { |value| outcome { set(name, value) } }

        expect(errors).to all(be_a(ArgumentError) & have_attributes(
          message: /\A#{name}: .* is no number/m
        ))
        expect(set(name, nil)).to eq(default)
      end
    end

    [{}, { attached: true }].each do |metadata|
      ["10", 0.5, 1/2r, 2**64, 1e308, Float::INFINITY].each do |seconds|
        tags = [1e308, Float::INFINITY].include?(seconds) ? { **metadata, fixed: true } : metadata

        it ".close_timeout= #{seconds.inspect} holds for a close (#{metadata})", **tags do
          described_class.close_timeout = seconds
          serve
          client = connect
          ws = open_connection
          server.call { ws.close(4000) }
          expect(client.read(:close)).to eq([4000].pack("n"))
          client.close(4000)

          expect(next_event(:close).value).to include(code: 4000, was_clean: true)
        end
      end
    end
  end

  describe ".shutdown", :extension do
    it "takes every time there is" do
      serve
      times = [0, 0.5, 3r, 7/2r, BigDecimal("2.5"), 2**64, 1e308, Float::INFINITY]
      times.each { |seconds| server.call { described_class.shutdown(seconds) { note(seconds) } } }

      expect(Array.new(times.size) { next_event.name }).to match_array(times)
    end

    it "says at once what is none" do
      serve
      wrong = OddValues::ALL - OddValues::NUMBERS + [-1, -1.5, Float::NAN, -Float::INFINITY]
      errors = wrong.map { |seconds| outcome { described_class.shutdown(seconds) } }

      expect(errors).to all(be_a(ArgumentError) & have_attributes(
        message: /\Atimeout: .* is no number of seconds: give 0 or more, such as 30 or 0.5\z/m
      ))
      expect(connect.response[:status]).to include("101")
    end
  end

  it "answers nil to .stats of a signature that is no server's", :extension do
    serve

    expect(OddValues::ALL.compact.map { |signature| described_class.stats(signature) || nil }.uniq)
      .to eq([described_class.stats(false), nil].uniq).or eq([nil, described_class.stats])
  end

  it "answers nil to .stats of a signature greater than all of ours", :extension do
    serve
    gone = [2**49, 2**63, 2**64, 10**30]

    expect(server.call { gone.map { |one| [EM.stop_server(one), EM.get_sockname(one)] } })
      .to eq([[nil, nil]] * gone.size)
  end

  it "raises for what cannot be broadcast", :extension do
    serve
    connect
    ws = open_connection
    no_texts = OddValues::ALL - OddValues::OTHERS.grep(String)
    errors = no_texts.map { |message| outcome { described_class.broadcast([ws], message) } }

    expect(errors).to all(be_a(NoMethodError) | be_a(TypeError))
    expect(described_class.broadcast([ws], "text")).to eq(1)
  end

  it "says which options are none, in start_tls", :extension do
    outcomes = events
    none = OddValues::ALL - [{}, { "ten" => 10 }, Object]
    serve do |ws|
      echo(ws)
      none.each { |options| outcomes << outcome { ws.start_tls(options) } }
    end
    connect

    expect(Array.new(none.size) { outcomes.pop }).to all(be_a(ArgumentError) & have_attributes(
      message: /\Atls_options: an object of \S+ is no Hash: give a Hash with :\w+ and :\w+\z/
    ))
  end
end
