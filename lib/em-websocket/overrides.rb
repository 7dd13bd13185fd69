# frozen_string_literal: true

module EventMachine
  module WebSocket
    # Finds out what an application has made its own of {Connection}'s hooks: in a subclass, a
    # module, the reopened class, or one connection's singleton.
    #
    # @api private
    module Overrides
      # Who overrides one of these gets the raw bytes.
      RAW = %i[dispatch receive_data send_data].freeze
      # Who overrides one of these is called through it.
      TRIGGERS = %i[trigger_on_message trigger_on_binary trigger_on_ping trigger_on_pong].freeze

      # Who overrides one of these is told of TLS.
      TLS = %i[ssl_handshake_completed].freeze

      # What the application overrides on one connection.
      Found = Struct.new(:raw, :triggers, :tls)

      # Extends {Connection}: notices when it is reopened.
      module Watch
        # Whatever was found for the class may not be true any more.
        def prepend(*)
          Overrides.forget
          super
        end

        private

        def method_added(name)
          Overrides.redefined(name)
          super
        end
      end

      class << self
        # From now on, whatever defines a hook is the application.
        def seal(klass)
          @owners = (RAW + TRIGGERS + TLS).to_h { |name| [name, klass.instance_method(name).owner] }
          @redefined = []
          forget
          klass.extend(Watch)
        end

        # @param connection [Connection]
        # @return [Found]
        def of(connection)
          return find { |name| connection.method(name).owner } unless
            connection.singleton_methods.empty?

          @found[connection.class] ||=
            find { |name| connection.class.instance_method(name).owner }
        end

        # A method of Connection itself was defined anew.
        def redefined(name)
          return unless @owners.key?(name)

          @redefined |= [name]
          forget
        end

        # What was found for the classes may not be true any more.
        def forget
          @found = {}.compare_by_identity
        end

        private

        def find
          overridden = ->(name) { @redefined.include?(name) || yield(name) != @owners[name] }
          Found.new(*[RAW, TRIGGERS, TLS].map { |names| names.any?(&overridden) }).freeze
        end
      end
    end
  end
end
