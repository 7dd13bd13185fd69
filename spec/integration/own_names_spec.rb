# frozen_string_literal: true

# The names of an application are its own: what this library has beside em-websocket is kept in one
# instance variable, and no method of Connection's is called that the application may have, too.
RSpec.describe EventMachine::WebSocket::Connection, "and the application's own names" do
  # The names that em-websocket 0.5 has, and EventMachine.
  variables = %i[
    @signature @options @debug @secure @secure_proxy @tls_options @close_timeout @outbound_limit
    @max_frame_size @handler @handshake @onopen @onclose @onerror @onmessage @onbinary @onping
    @onpong
  ]
  methods = %i[
    initialize abort close close_timeout close_websocket close_websocket_private debug dispatch
    max_frame_size max_frame_size= onbinary onclose onerror onmessage onopen onping onpong ping
    pingable? pong post_init receive_data remote_ip send send_binary send_data
    send_flash_cross_domain_file send_healthcheck_response send_text state supports_close_codes?
    trigger_on_binary trigger_on_close trigger_on_error trigger_on_message trigger_on_open
    trigger_on_ping trigger_on_pong unbind
  ]
  # The names that are new, and documented.
  documented = %i[
    buffered_amount id join leave max_message_size max_message_size= ondrain ongap onhttp onrequest
    outbound_high_water
    outbound_high_water= strict? subscribe subscriptions trigger_on_drain trigger_on_request
    unsubscribe
  ]

  # The methods of Ruby's and EventMachine's, which anybody who overrides them keeps.
  def inherited
    machine = EventMachine::Connection
    machine.instance_methods + machine.private_instance_methods
  end

  it "has no methods beside em-websocket's, EventMachine's and those that are documented",
     :extension do
    all = described_class.instance_methods + described_class.private_instance_methods

    expect(all - inherited - methods - documented).to be_empty
  end

  it "has no class methods beside EventMachine's", :extension do
    machine = EventMachine::Connection.methods + EventMachine::Connection.private_methods

    expect(described_class.methods + described_class.private_methods - machine).to be_empty
  end

  Transports::ALL.each do |transport, where|
    describe where do
      define_method(:serve_here) { |*given, &accept| serve_by(transport, *given, &accept) }

      it "has one instance variable beside em-websocket's", :extension do
        seen = events
        serve_here({ max_message_size: 9, handshake_timeout: 5, strict: true }) do |ws|
          ws.onrequest do |_, response|
            response.defer
            EM.next_tick { response.accept }
          end
          ws.ondrain {}
          ws.onopen do
            ws.outbound_high_water = 1
            ws.max_message_size = 1_000
            ws.pause
            ws.resume
            ws.close(1000)
          end
          ws.onclose { seen << ws.instance_variables }
        end
        connect.then do |client|
          client.read(:close)
          client.close(1000)
        end

        expect(seen.pop - variables).to eq(%i[@em_websocket])
      end

      # Everything that a connection is asked for, over each instance variable and method that is
      # the application's.
      def converse_all(client)
        client.text("hello")
        expect(client.read_text).to eq("hello")
        client.binary("bytes")
        expect(client.read(:binary)).to eq("bytes")
        client.ping("are you there")
        expect(client.read(:pong)).to eq("are you there")
        client.pong("unasked")
        client.close(1000)
        expect(client.read(:close)).to eq([1000].pack("n"))
        expect(client).to be_eof
      end

      # The events that the application is told of, in order.
      def told
        names = []
        names << next_event.name until names.last == :close
        names - [:error]
      end

      # Asked beforehand, too, where there is such a thing.
      define_method(:echo_asked) do |ws|
        echo(ws)
        ws.onrequest { |_, response| response.headers["X-Asked"] = "yes" } unless UPSTREAM
      end

      junk = Object.new.freeze
      %i[
        @native @response @onrequest @ondrain @opening_timer @max_message_size @strict @paused
        @deciding @corked @outflow @outbound_high_water @native_started @native_tls @native_verifies
        @pending_connect_timeout @admission @transport @rare @ended @liveness @protocol @events
        @request @session @user @room @answer @owner @number @held @early @seen @ws @server
      ].each_slice(12) do |names|
        it "leaves #{names.first} to #{names.last} to the application" do
          kept = nil
          serve_here do |ws|
            names.each { |name| ws.instance_variable_set(name, junk) }
            echo_asked(ws)
            ws.onclose do |event|
              kept = names.map { |name| ws.instance_variable_get(name) }
              note(:close, event, ws)
            end
          end
          converse_all(connect)

          expect(told).to eq(%i[open message binary ping pong close])
          expect(kept).to all(be(junk))
        end
      end

      it "leaves debug to the application, where that is no method that can be told", :fixed do
        subclass = Class.new(described_class) { attr_accessor :debug }
        serve_here({}, subclass) do |ws|
          echo_asked(ws)
          ws.singleton_class.attr_accessor(:debug)
          ws.debug = nil
        end
        converse_all(connect)

        expect(told).to eq(%i[open message binary ping pong close])
      end

      it "tells a debug of the application's own what happens" do
        seen = []
        subclass = Class.new(described_class) { define_method(:debug) { |*what| seen << what } }
        serve_here({}, subclass) do |ws|
          echo(ws)
          ws.define_singleton_method(:debug) { |*what| seen << what }
        end
        converse_all(connect)
        server.stop

        expect(seen).to include([%i[unbind connection]])
      end

      Drafts::ALL.each do |draft|
        it "keeps a Handler of #{draft} in @handler, once it is open" do
          handler = ->(ws) { ws.instance_variable_get(:@handler) }
          serve_here do |ws|
            note(:accept, handler[ws])
            ws.onopen { note(:open, handler[ws]) }
          end
          connect(draft)
          class_of_draft = EM::WebSocket::Handler.klass_factory(draft.number)

          expect([next_event.value, next_event.value.class]).to eq([nil, class_of_draft])
        end
      end

      # In a subclass where the server may be given one, on the connection itself elsewhere.
      %i[
        method pack admit cork uncork corks? objection read write call id name type class_name
        room user users session request response subscribe publish join leave channel log logger
        timer open opened native transport rare gone hand_over asks? refuse refuse_for accept begin
        drain drained watch watch_outflow tell tell_drained tell_open limit limit_opening pending?
        application_error before_open opening_handshake handshake_requested handshake_accepted
        handshake_refused background_start background_unbind background_opened background_failed
        background_traits announce_tls? tls_session open_background data message messages path
        params env headers status body token key value count size length index each map first last
        to_s to_h to_a inspect is_a? kind_of? respond_to? instance_of? hash == eql? equal?
        tap then freeze dup clone display instance_variable_get instance_variable_set
        options settings config handler_class version protocol protocols origin
        connected? closed? alive? active? ready? open? closing? reconnect_later
      ].each_slice(12) do |names|
        it "leaves #{names.first} to #{names.last} to the application" do
          own = Module.new do
            names.each { |name| define_method(name) { |_, _, _, _| raise "#{name} was called" } }
          end
          subclass = Class.new(described_class) { include own }
          subclass.class_eval { prepend own }
          serve_here({}, subclass) do |ws|
            echo_asked(ws)
            # The last moment to extend a connection whose class is the library's.
            Kernel.instance_method(:extend).bind_call(ws, own) unless transport == :attached
          end
          converse_all(connect)

          expect(told).to eq(%i[open message binary ping pong close])
        end
      end
    end
  end
end
