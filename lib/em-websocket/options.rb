# frozen_string_literal: true

require_relative "certificates"
require_relative "checks"
require_relative "http/rack_application"
require_relative "http/routes"
require_relative "listening"
require_relative "options/compression"
require_relative "options/networks"
require_relative "options/origins"
require_relative "options/settings"
require_relative "options/spelling"
require_relative "options/subprotocols"
require_relative "options/tls_options"
require_relative "options/versions"

module EventMachine
  module WebSocket
    # The options of {WebSocket.run}, checked: what both Ruby and the native core go by. Each is
    # read once, here, by `[]` with a Symbol, whatever kind of Hash they come in.
    #
    # @api private
    class Options
      # Every option, and its kind: a method of {Checks}, a Range that a whole number must be in, or
      # an object whose `of` checks it. nil and false are as good as not given.
      TABLE = {
        # em-websocket's own.
        host: :given,
        port: :given,
        debug: :given,
        secure: :given,
        secure_proxy: :given,
        tls_options: :given,
        close_timeout: :digits,
        outbound_limit: :ceiling,
        # Places to listen on, which {Listening} checks.
        socket: :given,
        unix: :given,
        mode: :given,
        # From here on, 0 is no limit of time.
        handshake_timeout: :seconds,
        write_timeout: :seconds,
        ping_interval: :seconds,
        ping_timeout: :seconds,
        idle_timeout: :seconds,
        # From here on, 0 is as good as not given.
        graceful: :graceful,
        gap: :gap,
        max_message_size: :bytes,
        max_header_size: :bytes,
        http_body: :bytes,
        inbound_limit: :bytes,
        inbound_total: :bytes,
        inbound_messages: :count,
        max_headers: :count,
        max_connections: :count,
        max_connections_per_ip: :count,
        handshakes_per_second: :rate,
        messages_per_second: :rate,
        max_subscriptions: :count,
        drain_batch: :count,
        read_size: 4096..524_288,
        threads: 1..1024,
        reuse_port: :switch,
        strict: :switch,
        protocols_required: :switch,
        tcp_nodelay: :switch,
        versions: Versions,
        protocols: Subprotocols,
        origins: Origins,
        compression: Compression,
        http: HttpRoutes,
        rack: RackApplication,
        trusted_proxies: Networks.new(:trusted_proxies),
        proxy_protocol: Networks.new(:proxy_protocol, everywhere: true)
      }.freeze

      # Advice where there are no options.
      ADVICE = "give a Hash with :host and :port"

      # Options that em-websocket reads as well.
      THEIRS = TABLE.keys.take(8).freeze
      private_constant :THEIRS

      KNOWN = TABLE.keys.freeze
      private_constant :KNOWN

      # Options of connections on EventMachine's own sockets, whose address is EventMachine's.
      OF_CONNECTIONS = (KNOWN - %i[host port reuse_port] - Listening::PLACES).freeze
      private_constant :OF_CONNECTIONS

      # Options that are nothing to the native core.
      PLAIN = ->(name) { TABLE[name] == :given && name != :secure }
      private_constant :PLAIN

      # @return [Native::Settings] the same for the native core
      attr_reader :settings

      # @return [Certificates, nil] of the server; nil on EventMachine's own sockets
      attr_reader :certificates

      # @return [Hash{Symbol => Object}] those that are given, frozen
      attr_reader :values

      # @return [Object] what they were read of
      attr_reader :source

      class << self
        # @param source [#[], Options]
        # @param server [Options, nil] those of the server, which may be of the same source
        # @return [Options]
        # @raise [ArgumentError] if an option cannot be what it is; its text names it
        def of(source, server = nil)
          return server if server&.source.equal?(source)
          return source if source.is_a?(self)
          return NONE if server.nil? && nothing?(source)

          new(source, server&.certificates)
        end

        # Reads one option by itself.
        #
        # @return [Object] as it is used; nil: not given
        # @raise (see .of)
        def read(source, name)
          value = source[name]
          value.nil? ? nil : check(name, TABLE.fetch(name), value)
        end

        # @return [Object] a value as it is used; nil: not given
        # @raise (see .of)
        def check(name, kind, value)
          # A switch may be on by default.
          return (false if kind == :switch) unless value

          case kind
          when Symbol then Checks.public_send(kind, name, value)
          when Range then Checks.count(name, value, kind)
          else kind.of(value)
          end
        end

        private

        def nothing?(source)
          source.instance_of?(Hash) && source.empty? && source.default.nil? &&
            source.default_proc.nil?
        end
      end

      # @param source [#[]]
      # @param certificates [Certificates, nil]
      # @raise (see .of)
      def initialize(source, certificates = nil)
        @source = Checks.keyed(:options, source, ADVICE)
        @certificates = certificates
        @values = {}
        @no_tls_options = {} if certificates
        @settings = DEFAULTS
        read_all
        check_tls if @values[:secure]
        @values.freeze
        freeze
      end

      # @param name [Symbol]
      # @return [Object, nil] nil or false: not given
      def [](name)
        @values[name]
      end

      # EventMachine's keys for `start_tls`. All connections of a server have the same Hash, also
      # where none is given: there are many.
      #
      # @return [Hash]
      def tls_options
        @values[:tls_options] || @no_tls_options || {}
      end

      # @return [Array(String, Integer)] host and port to listen on
      # @raise (see .of)
      def address
        [Checks.host(@values[:host]), Checks.port(@values[:port])]
      end

      # Check for EventMachine's own sockets, where a proxy's header would be taken for the request.
      #
      # @return [Options] self
      # @raise [ArgumentError] if there is a `:proxy_protocol`
      def of_attached
        return self unless @values[:proxy_protocol]

        raise ArgumentError, "proxy_protocol: connections on EventMachine's own sockets do not " \
                             "have it: use EM::WebSocket.run"
      end

      # Opening handshakes have to be shown to the application's own objects.
      #
      # @return [Boolean]
      def asks?
        @values[:origins] || @values[:protocols].respond_to?(:call) ? true : false
      end

      private

      # Reads every option: for each connection on EventMachine's own sockets, of few mostly.
      def read_all
        source = @source
        values = @values
        TABLE.each do |name, kind|
          value = source[name]
          values[name] = Options.check(name, kind, value) unless value.nil?
        rescue KeyError
          # A Hash that raises for what it has not need not know more than em-websocket.
          raise if THEIRS.include?(name)
        end
        Spelling.check(source, values, known_names)
        @settings = Settings.of(values) unless values.empty? || values.keys.all?(PLAIN)
      end

      # Names that a key may be a misspelling of. Beside a `:port`, what is like another place to
      # listen on is the application's own.
      def known_names
        return OF_CONNECTIONS unless @certificates

        @values[:port].nil? ? KNOWN : KNOWN - Listening::PLACES
      end

      def check_tls
        return unless @values[:tls_options]

        TlsOptions.check(@values[:tls_options])
        Spelling.check_tls(@values[:tls_options])
        TlsOptions.check_attached(@values[:tls_options]) unless @certificates
      end

      # The native core's settings where no option is given.
      DEFAULTS = Settings.of({})
      private_constant :DEFAULTS

      # The options where there are none.
      NONE = new({}.freeze)
    end
  end
end
